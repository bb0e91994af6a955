package dialect_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/dialect"
)

func TestTheInboxStatusTellsOfEachConsumer(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		names := dialect.Names{Dialect: db.Dialect}
		empty, err := dialect.ReadInboxStatus(t.Context(), db.DB, names, "")
		require.NoError(t, err)
		require.Empty(t, empty)

		ago := func(d time.Duration) string { return timeOf(db.Dialect, time.Now().Add(-d)) }
		exec(t, db.DB, fmt.Sprintf("INSERT INTO inbox_events (consumer, message_id, processed_at) VALUES ('billing', 'a', '%s'), ('billing', 'b', '%s'), ('mail', 'a', '%s')",
			ago(time.Hour), ago(time.Minute), ago(2*time.Hour)))
		exec(t, db.DB, fmt.Sprintf("INSERT INTO inbox_attempts (consumer, message_id, attempts, started_at) VALUES ('billing', 'c', 2, '%s'), ('billing', 'd', 1, '%s')",
			ago(time.Minute), ago(3*time.Minute)))
		for n, state := range []string{"failed", "blocked", "blocked", "retry", "drop"} {
			exec(t, db.DB, fmt.Sprintf("INSERT INTO inbox_parked (consumer, message_id, topic, headers, state, parked_at) VALUES ('billing', 'p%d', 'orders', '{}', '%s', '%s')",
				n, state, ago(time.Duration(10-n)*time.Hour)))
		}
		exec(t, db.DB, "INSERT INTO inbox_blocked (consumer, topic, event_key) VALUES ('billing', 'orders', 'k'), ('shop', 'orders', 'k')")
		exec(t, db.DB, fmt.Sprintf("INSERT INTO inbox_offsets (consumer, kafka_topic, kafka_partition, next_offset, epoch, updated_at) VALUES ('mail', 'orders', 1, 17, 3, '%s'), ('mail', 'orders', 2, NULL, 1, '%s')",
			ago(time.Minute), ago(time.Minute)))
		exec(t, db.DB, fmt.Sprintf("INSERT INTO inbox_replica_runs (replica, run_id, heard_at, finished_at) VALUES ('customers', 'r1', '%s', NULL), ('customers', 'r0', '%s', '%s')",
			ago(time.Minute), ago(time.Hour), ago(time.Minute)))

		s, err := dialect.ReadInboxStatus(t.Context(), db.DB, names, "")
		require.NoError(t, err)
		near := float64(30 * time.Second)
		require.Len(t, s.Consumers, 3)
		billing, mail, shop := s.Consumers[0], s.Consumers[1], s.Consumers[2]
		require.Equal(t, "billing", billing.Consumer)
		require.EqualValues(t, 2, billing.Rows)
		require.False(t, billing.Estimated)
		require.InDelta(t, time.Hour, billing.Window, near)
		require.WithinDuration(t, time.Now().Add(-time.Hour), billing.Oldest, 30*time.Second)
		require.Equal(t, map[string]int64{"failed": 1, "blocked": 2, "retry": 1, "drop": 1}, billing.Parked)
		require.InDelta(t, 10*time.Hour, billing.ParkedAge, near)
		require.WithinDuration(t, time.Now().Add(-10*time.Hour), billing.OldestParked, 30*time.Second)
		require.EqualValues(t, 1, billing.BlockedKeys)
		require.EqualValues(t, 2, billing.Attempts)
		require.InDelta(t, 3*time.Minute, billing.OldestAttempt, near)
		require.InDelta(t, 2*time.Hour, mail.Window, near)
		require.Zero(t, mail.Attempts)
		require.Equal(t, "shop", shop.Consumer)
		require.Zero(t, shop.Rows)
		require.True(t, shop.Oldest.IsZero())

		require.Len(t, s.Holds, 2)
		require.Equal(t, "orders", s.Holds[0].Topic)
		require.EqualValues(t, 17, s.Holds[0].Next.Int64)
		require.EqualValues(t, 3, s.Holds[0].Epoch)
		require.InDelta(t, time.Minute, s.Holds[0].Age, near)
		require.False(t, s.Holds[1].Next.Valid)
		require.Len(t, s.Backfills, 1, "the other one is finished")
		require.Equal(t, "r1", s.Backfills[0].RunID)

		one, err := dialect.ReadInboxStatus(t.Context(), db.DB, names, "billing")
		require.NoError(t, err)
		require.Len(t, one.Consumers, 1)
		require.Equal(t, billing.Parked, one.Consumers[0].Parked)
		require.Empty(t, one.Holds)
		none, err := dialect.ReadInboxStatus(t.Context(), db.DB, names, "nobody")
		require.NoError(t, err)
		require.Empty(t, none)

		exec(t, db.DB, "DROP TABLE inbox_replica_runs")
		exec(t, db.DB, "DROP TABLE inbox_offsets")
		old, err := dialect.ReadInboxStatus(t.Context(), db.DB, names, "")
		require.NoError(t, err)
		require.Equal(t, []string{"inbox_offsets", "inbox_replica_runs"}, old.Absent)
		require.Len(t, old.Consumers, 3)
	})
}

// timeOf writes a time as the dialect's columns take it.
func timeOf(d dialect.Dialect, at time.Time) string {
	switch d {
	case dialect.MySQL:
		return at.UTC().Format("2006-01-02 15:04:05.000000")
	case dialect.SQLite:
		return at.UTC().Format("2006-01-02T15:04:05.000000Z")
	}
	return at.UTC().Format(time.RFC3339Nano)
}

// 100,000 rows of two consumers: more than is counted one by one. The bounds are wide, as
// estimates are.
func TestTheInboxStatusEstimatesLargeTables(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		fillInbox(t, db)
		requireEstimates(t, db)
		if db.Flavor == dbtest.FlavorPostgreSQL15 {
			_, err := dialect.PartitionInbox(t.Context(), db.DB, dialect.Names{Dialect: db.Dialect}, 1, time.Minute)
			require.NoError(t, err)
			requireEstimates(t, db)
		}
	})
}

func requireEstimates(t *testing.T, db dbtest.Database) {
	t.Helper()
	s, err := dialect.ReadInboxStatus(t.Context(), db.DB, dialect.Names{Dialect: db.Dialect}, "")
	require.NoError(t, err)
	require.Len(t, s.Consumers, 2)
	var all float64
	require.NoError(t, db.DB.QueryRowContext(t.Context(), "SELECT count(*) FROM inbox_events").Scan(&all))
	half := all / 2
	for _, c := range s.Consumers {
		require.InDelta(t, half, c.Rows, half/2)
		require.Equal(t, db.Dialect == dialect.MySQL, c.Estimated, "a sample of a small table is all of it")
		require.InDelta(t, 2*time.Hour, c.Window, float64(time.Minute))
	}
}
