package inbox_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/inbox"
)

func TestTheInboxStatusTellsOfEachConsumer(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, d dbtest.Database) {
		names := db.Names{Dialect: d.Dialect}
		empty, err := inbox.ReadStatus(t.Context(), d.DB, names, "")
		require.NoError(t, err)
		require.Empty(t, empty)

		ago := func(age time.Duration) string { return timeOf(d.Dialect, time.Now().Add(-age)) }
		exec(t, d.DB,
			fmt.Sprintf("INSERT INTO inbox_events (consumer, message_id, processed_at) "+
				"VALUES ('billing', 'a', '%s'), ('billing', 'b', '%s'), ('mail', 'a', '%s')",
				ago(time.Hour), ago(time.Minute), ago(2*time.Hour)))
		exec(t, d.DB,
			fmt.Sprintf("INSERT INTO inbox_attempts (consumer, message_id, attempts, started_at) "+
				"VALUES ('billing', 'c', 2, '%s'), ('billing', 'd', 1, '%s')",
				ago(time.Minute), ago(3*time.Minute)))
		for n, state := range []string{"failed", "blocked", "blocked", "retry", "drop"} {
			exec(t, d.DB,
				fmt.Sprintf("INSERT INTO inbox_parked (consumer, message_id, topic, headers, state, parked_at) "+
					"VALUES ('billing', 'p%d', 'orders', '{}', '%s', '%s')",
					n, state, ago(time.Duration(10-n)*time.Hour)))
		}
		exec(t, d.DB,
			"INSERT INTO inbox_blocked (consumer, topic, event_key) VALUES ('billing', 'orders', 'k'), "+
				"('shop', 'orders', 'k')")
		exec(t, d.DB,
			fmt.Sprintf("INSERT INTO inbox_offsets (consumer, kafka_topic, kafka_partition, next_offset, epoch, "+
				"updated_at) VALUES ('mail', 'orders', 1, 17, 3, '%s'), ('mail', 'orders', 2, NULL, 1, '%s')",
				ago(time.Minute), ago(time.Minute)))
		exec(t, d.DB,
			fmt.Sprintf("INSERT INTO inbox_replica_runs (replica, run_id, heard_at, finished_at) "+
				"VALUES ('customers', 'r1', '%s', NULL), ('customers', 'r0', '%s', '%s')",
				ago(time.Minute), ago(time.Hour), ago(time.Minute)))

		s, err := inbox.ReadStatus(t.Context(), d.DB, names, "")
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
		require.Len(t, billing.ParkedAges, 4)
		require.InDelta(t, 9*time.Hour, billing.ParkedAges["blocked"], near, "the older one of two")
		require.InDelta(t, 6*time.Hour, billing.ParkedAges["drop"], near)
		require.WithinDuration(t, time.Now().Add(-10*time.Hour), billing.OldestParked, 30*time.Second)
		require.EqualValues(t, 1, billing.BlockedKeys)
		require.EqualValues(t, 2, billing.Attempts)
		require.InDelta(t, 3*time.Minute, billing.OldestAttempt, near)
		require.InDelta(t, 2*time.Hour, mail.Window, near)
		require.Zero(t, mail.Attempts)
		require.Equal(t, "shop", shop.Consumer)
		require.Zero(t, shop.Rows)
		require.True(t, shop.Oldest.IsZero())

		require.Len(t, s.Partitions, 2)
		require.Equal(t, "orders", s.Partitions[0].Topic)
		require.EqualValues(t, 17, s.Partitions[0].Next.Int64)
		require.EqualValues(t, 3, s.Partitions[0].Epoch)
		require.InDelta(t, time.Minute, s.Partitions[0].Age, near)
		require.False(t, s.Partitions[1].Next.Valid)
		require.Len(t, s.Backfills, 1, "the other one is finished")
		require.Equal(t, "r1", s.Backfills[0].RunID)

		one, err := inbox.ReadStatus(t.Context(), d.DB, names, "billing")
		require.NoError(t, err)
		require.Len(t, one.Consumers, 1)
		require.Equal(t, billing.Parked, one.Consumers[0].Parked)
		require.Empty(t, one.Partitions)
		none, err := inbox.ReadStatus(t.Context(), d.DB, names, "nobody")
		require.NoError(t, err)
		require.Empty(t, none)

		exec(t, d.DB, "DROP TABLE inbox_replica_runs")
		exec(t, d.DB, "DROP TABLE inbox_offsets")
		old, err := inbox.ReadStatus(t.Context(), d.DB, names, "")
		require.NoError(t, err)
		require.Equal(t, []string{"inbox_offsets", "inbox_replica_runs"}, old.Absent)
		require.Len(t, old.Consumers, 3)

		exec(t, d.DB, "DROP TABLE inbox_events")
		_, err = inbox.ReadStatus(t.Context(), d.DB, names, "")
		require.ErrorContains(t, err, "read inbox_events: ")
		require.Equal(t, 1, strings.Count(err.Error(), "read inbox_events"), err)
	})
}

// 100,000 rows of two consumers: more than is counted one by one. The bounds are wide, as
// estimates are.
func TestTheInboxStatusEstimatesLargeTables(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, d dbtest.Database) {
		fillInbox(t, d)
		requireEstimates(t, d)
		if d.Flavor == dbtest.FlavorPostgreSQL15 {
			tables, err := inbox.New(db.Names{Dialect: d.Dialect})
			require.NoError(t, err)
			_, err = tables.Partition(t.Context(), d.DB, 1, time.Minute)
			require.NoError(t, err)
			requireEstimates(t, d)
		}
	})
}

func requireEstimates(t *testing.T, d dbtest.Database) {
	t.Helper()
	s, err := inbox.ReadStatus(t.Context(), d.DB, db.Names{Dialect: d.Dialect}, "")
	require.NoError(t, err)
	require.Len(t, s.Consumers, 2)
	var all float64
	require.NoError(t, d.DB.QueryRowContext(t.Context(), "SELECT count(*) FROM inbox_events").Scan(&all))
	half := all / 2
	for _, c := range s.Consumers {
		require.InDelta(t, half, c.Rows, half/2)
		require.Equal(t, d.Dialect == db.MySQL, c.Estimated, "a sample of a small table is all of it")
		require.InDelta(t, 2*time.Hour, c.Window, float64(time.Minute))
	}
}
