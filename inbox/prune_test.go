package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
)

const week = 7 * 24 * time.Hour

// committed is a group that has committed the same offset everywhere.
func committed(offset int64) func(context.Context, string, int32) (int64, error) {
	return func(context.Context, string, int32) (int64, error) { return offset, nil }
}

func (b bench) ids(t *testing.T, consumer string) []string {
	t.Helper()
	rows, err := b.DB.QueryContext(t.Context(),
		b.sql("SELECT message_id FROM inbox_events WHERE consumer = ? ORDER BY message_id"), consumer)
	require.NoError(t, err)
	defer rows.Close()
	ids := []string{}
	for rows.Next() {
		var id string
		require.NoError(t, rows.Scan(&id))
		ids = append(ids, id)
	}
	require.NoError(t, rows.Err())
	return ids
}

func TestPruneDeletesWhatIsOlderThanTheRetentionOfItsOwnConsumer(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		billing, mail := b.inbox(t, "billing"), b.inbox(t, "mail")
		b.accept(t, billing, inbox.Message{ID: "old 1"})
		b.accept(t, billing, inbox.Message{ID: "old 2"})
		b.accept(t, mail, inbox.Message{ID: "old 1"})
		b.makeOlder(t, week+time.Minute)
		b.accept(t, billing, inbox.Message{ID: "young"})
		b.makeOlder(t, time.Minute) // young: a minute

		for _, want := range []int64{2, 0} {
			deleted, err := billing.Prune(t.Context(), b.DB, inbox.PruneOptions{Retention: week})
			require.NoError(t, err)
			require.Equal(t, want, deleted)
		}
		require.Equal(t, []string{"young"}, b.ids(t, "billing"))
		require.Equal(t, []string{"old 1"}, b.ids(t, "mail"))
		deleted, err := billing.Prune(t.Context(), b.DB, inbox.PruneOptions{Retention: 30 * time.Second})
		require.NoError(t, err)
		require.Equal(t, int64(1), deleted)
	})
}

func TestPruneGoesThroughManyBatchesAndPassesRowsThatStay(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing")
		tx := b.begin(t)
		for n := range 500 {
			m := inbox.Message{ID: fmt.Sprintf("%03d", n)}
			if n%5 == 0 { // the first of every five stays: offset 100 is not consumed yet
				m.Position = &inbox.Position{Topic: "orders", Offset: 100}
			}
			_, err := ib.Accept(t.Context(), tx, m)
			require.NoError(t, err)
		}
		require.NoError(t, tx.Commit())
		// All with one time, so that the order within it counts as well.
		same := map[db.Dialect]string{db.PostgreSQL: "2001-01-01T00:00:00Z",
			db.MySQL: "2001-01-01 00:00:00", db.SQLite: "2001-01-01T00:00:00.000000Z"}
		b.exec(t, "UPDATE inbox_events SET processed_at = '"+same[b.Dialect]+"'")
		asked := 0
		deleted, err := ib.Prune(t.Context(), b.DB, inbox.PruneOptions{
			Retention: week, BatchSize: 7, Margin: -1,
			Committed: func(_ context.Context, topic string, partition int32) (int64, error) {
				asked++
				require.Equal(t, "orders", topic)
				require.Zero(t, partition)
				return 100, nil
			},
		})
		require.NoError(t, err)
		require.Equal(t, int64(400), deleted)
		require.Equal(t, 1, asked, "once for each partition")
		require.Len(t, b.ids(t, "billing"), 100)
	})
}

func TestPruneKeepsWhatMayBeDeliveredAgain(t *testing.T) {
	// Offsets 0, 10, … 90 of a partition; the group has committed some.
	cases := []struct {
		name      string
		committed int64
		margin    int64
		deleted   int64
	}{
		{"nothing at or above the committed offset", 50, -1, 5},
		{"an offset below the committed one by the margin is kept", 50, 20, 3},
		{"one more and it goes", 51, 20, 4},
		{"the default margin is large", 1000, 0, 0},
		{"far enough below the default margin everything goes", inbox.DefaultMargin + 91, 0, 10},
		{"a group that has committed nothing keeps everything", -1, -1, 0},
	}
	eachLayout(t, func(t *testing.T, b bench) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				b.exec(t, "DELETE FROM inbox_events")
				ib := b.inbox(t, "billing")
				for offset := int64(0); offset < 100; offset += 10 {
					b.accept(t, ib, inbox.Message{ID: fmt.Sprint(offset),
						Position: &inbox.Position{Topic: "orders", Partition: 3, Offset: offset}})
				}
				b.makeOlder(t, 2*week)
				deleted, err := ib.Prune(t.Context(), b.DB,
					inbox.PruneOptions{Retention: week, Committed: committed(c.committed), Margin: c.margin})
				require.NoError(t, err)
				require.Equal(t, c.deleted, deleted)
				require.Len(t, b.ids(t, "billing"), 10-int(deleted))
			})
		}
	})
}

func TestPartitionsAreJudgedEachByItsOwnOffset(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing")
		for _, topic := range []string{"orders", "Orders"} {
			for partition := range int32(2) {
				id := fmt.Sprintf("%s %d", topic, partition)
				b.accept(t, ib,
					inbox.Message{ID: id, Position: &inbox.Position{Topic: topic, Partition: partition, Offset: 5}})
			}
		}
		b.makeOlder(t, 2*week)
		deleted, err := ib.Prune(t.Context(), b.DB, inbox.PruneOptions{
			Retention: week, Margin: -1,
			Committed: func(_ context.Context, topic string, partition int32) (int64, error) {
				if topic == "orders" && partition == 1 {
					return 6, nil
				}
				return 5, nil
			},
		})
		require.NoError(t, err)
		require.Equal(t, int64(1), deleted)
		require.Equal(t, []string{"Orders 0", "Orders 1", "orders 0"}, b.ids(t, "billing"))
	})
}

func TestWithoutCommittedOffsetsRowsOfKafkaAreKeptAndItSaysSo(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing")
		b.accept(t, ib, inbox.Message{ID: "from Kafka", Position: &inbox.Position{Topic: "orders"}})
		b.accept(t, ib, inbox.Message{ID: "from elsewhere"})
		b.makeOlder(t, 2*week)
		deleted, err := ib.Prune(t.Context(), b.DB, inbox.PruneOptions{Retention: week})
		require.ErrorIs(t, err, inbox.ErrNoCommitted)
		require.ErrorContains(t, err, "1 rows with a Kafka position were kept")
		require.Equal(t, int64(1), deleted)
		require.Equal(t, []string{"from Kafka"}, b.ids(t, "billing"))
	})
}

func TestPruneSaysWhatIsWrong(t *testing.T) {
	b := onSQLite(t)
	ib := b.inbox(t, "billing")
	b.accept(t, ib, inbox.Message{ID: "m", Position: &inbox.Position{Topic: "orders", Partition: 2}})
	b.makeOlder(t, 2*week)

	for _, retention := range []time.Duration{0, -time.Second} {
		_, err := ib.Prune(t.Context(), b.DB, inbox.PruneOptions{Retention: retention})
		require.ErrorIs(t, err, inbox.ErrNoRetention)
	}
	for _, size := range []int{-1, 30_001} {
		_, err := ib.Prune(t.Context(), b.DB, inbox.PruneOptions{Retention: week, BatchSize: size})
		require.ErrorContains(t, err, "BatchSize")
	}

	errBroker := errors.New("broker away")
	_, err := ib.Prune(t.Context(), b.DB, inbox.PruneOptions{Retention: week,
		Committed: func(context.Context, string, int32) (int64, error) {
			return 0, errBroker
		}})
	require.ErrorIs(t, err, errBroker)
	require.ErrorContains(t, err, `topic "orders" partition 2`)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = ib.Prune(ctx, b.DB, inbox.PruneOptions{Retention: week, Committed: committed(1)})
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, b.ids(t, "billing"), 1)

	b.exec(t, "DROP TABLE inbox_events")
	_, err = ib.Prune(t.Context(), b.DB, inbox.PruneOptions{Retention: week})
	require.ErrorContains(t, err, "relay migrate up")
}

// Hazard early-pruning.
// A parked message that comes again without its row would be parked a second time, and run twice when it is retried.
func TestTheIDOfAParkedMessageIsKept(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		ib, err := inbox.New(db.Dialect, "billing", inbox.WithMaxAttempts(1),
			inbox.WithLogger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		for _, id := range []string{"done", "parked"} {
			_, err := ib.Process(t.Context(), db.DB, inbox.Message{ID: id, Topic: "orders", Key: id},
				func(context.Context, *sql.Tx) error {
					if id == "parked" {
						return errors.New("poison")
					}
					return nil
				})
			require.NoError(t, err)
		}
		old := "2020-01-01T00:00:00.000000Z"
		if db.Dialect == "mysql" {
			old = "2020-01-01 00:00:00"
		}
		_, err = db.DB.ExecContext(t.Context(), "UPDATE inbox_events SET processed_at = '"+old+"'")
		require.NoError(t, err)
		n, err := ib.Prune(t.Context(), db.DB, inbox.PruneOptions{Retention: time.Hour})
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		var left string
		require.NoError(t, db.DB.QueryRowContext(t.Context(), "SELECT message_id FROM inbox_events").Scan(&left))
		require.Equal(t, "parked", left)
	})
}

// A message was tried, and then its offset was skipped: its row has no position, and nobody comes back to it. The row
// of one that is tried still goes when it is old as well, and only its count begins anew.
func TestPruneForgetsAttemptsAtMessagesThatDidNotComeAgain(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing", inbox.WithMaxAttempts(3))
		// as a process that was killed leaves them
		for _, id := range []string{"skipped 1", "skipped 2", "skipped 3", "tried"} {
			b.exec(t, "INSERT INTO inbox_attempts (consumer, message_id, attempts) VALUES ('billing', ?, 2)", id)
		}
		b.exec(t, "INSERT INTO inbox_attempts (consumer, message_id, attempts) VALUES ('another', 'skipped 1', 2)")
		left := func() int { return b.count(t, "SELECT count(*) FROM inbox_attempts") }
		prune := func(retention time.Duration) {
			t.Helper()
			_, err := ib.Prune(t.Context(), b.DB, inbox.PruneOptions{Retention: retention, BatchSize: 2})
			require.NoError(t, err)
		}
		prune(7 * 24 * time.Hour)
		require.Equal(t, 5, left())
		b.tryOlder(t, 23*time.Hour)
		prune(7 * 24 * time.Hour)
		require.Equal(t, 5, left())
		b.tryOlder(t, 2*time.Hour)
		require.Equal(t, inbox.Parked, b.process(t, ib, order("tried", "k"), poison))
		require.Equal(t, 4, left())
		prune(7 * 24 * time.Hour)
		require.Equal(t, 1, left(), "another consumer's")
		require.Equal(t, inbox.Applied, b.process(t, ib, order("skipped 1", "l"), b.effect("1")), "if it does come")

		b.exec(t, "INSERT INTO inbox_attempts (consumer, message_id, attempts) VALUES ('billing', 'a', 2)")
		b.tryOlder(t, 2*time.Hour)
		prune(time.Hour)
		require.Equal(t, 1, left(), "a short retention")
	})
}

// tryOlder turns back the time of all attempts.
func (b bench) tryOlder(t *testing.T, by time.Duration) {
	t.Helper()
	seconds := int(by.Seconds())
	b.exec(t, map[inbox.Dialect]string{
		inbox.PostgreSQL: "UPDATE inbox_attempts SET started_at = started_at - ? * interval '1 second'",
		inbox.MySQL:      "UPDATE inbox_attempts SET started_at = started_at - INTERVAL ? SECOND",
		inbox.SQLite: "UPDATE inbox_attempts SET started_at = strftime('%Y-%m-%dT%H:%M:%f', started_at, -? || ' " +
			"seconds') || '000Z'",
	}[b.Dialect], seconds)
}
