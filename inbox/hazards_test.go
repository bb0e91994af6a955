package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
)

// Hazard attempt-as-done: a row of inbox_events means done, so nothing that only began may
// leave one.
func TestHazardAnAttemptIsNoRowOfInboxEvents(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1))
		failing := func(context.Context, *sql.Tx) error { return errHandler }
		ways := []struct {
			name    string
			attempt func(inbox.Message) error
			effects int
		}{
			{"Process", func(m inbox.Message) error {
				_, err := ib.Process(t.Context(), b.DB, m, failing)
				return err
			}, 1},
			{"the rule taken out: the attempt is recorded before the handler runs", func(m inbox.Message) error {
				require.True(t, b.accept(t, ib, m))
				tx := b.begin(t)
				return errors.Join(failing(t.Context(), tx), tx.Rollback())
			}, 0},
		}
		for _, way := range ways {
			t.Run(way.name, func(t *testing.T) {
				b.exec(t, "DELETE FROM effects")
				m := inbox.Message{ID: way.name}
				require.ErrorIs(t, way.attempt(m), errHandler)
				_, err := ib.Process(t.Context(), b.DB, m, b.effect("m")) // delivered again
				require.NoError(t, err)
				require.Equal(t, way.effects, b.effects(t))
			})
		}
	})
}

// Hazard row-ids-collide: two services produce to what one consumer reads. Stamped with the ids
// of their own rows, the second's message passes for a copy of the first's.
func TestHazardRowIdsOfTwoServicesCollide(t *testing.T) {
	rowID := func(n int) string { return fmt.Sprint(n) }
	newUUID := func(int) string { return uuid.Must(uuid.NewV7()).String() }
	cases := []struct {
		name    string
		id      func(row int) string
		effects int
	}{
		{"UUIDs: each message has its effect", newUUID, 6},
		{"the rule taken out, row ids: the second service's messages vanish", rowID, 3},
	}
	eachLayout(t, func(t *testing.T, b bench) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				b.exec(t, "DELETE FROM effects")
				ib := b.inbox(t, "billing")
				for _, service := range []string{"orders", "refunds"} {
					for row := 1; row <= 3; row++ {
						_, err := ib.Process(t.Context(), b.DB, inbox.Message{ID: c.id(row)}, b.effect(service))
						require.NoError(t, err)
					}
				}
				require.Equal(t, c.effects, b.effects(t))
			})
		}
	})
}

// pruneByClock is Prune with the rule taken out: it goes by age alone.
func pruneByClock(ctx context.Context, b bench) error {
	statements := map[db.Dialect]string{
		db.PostgreSQL: "DELETE FROM inbox_events WHERE processed_at < now() - interval '7 days'",
		db.MySQL:      "DELETE FROM inbox_events WHERE processed_at < utc_timestamp(6) - INTERVAL 7 DAY",
		db.SQLite:     "DELETE FROM inbox_events WHERE processed_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', '-7 days')",
	}
	_, err := b.DB.ExecContext(ctx, statements[b.Dialect])
	return err
}

// Hazard early-pruning: the consumer applied offsets 0 to 9 and died before it committed more
// than 5 to Kafka. It is down for eight days, and a job prunes meanwhile. Then it goes
// on at 5; and the relay, in a crash, had left a copy of offset 3 at 10.
func TestHazardPruningWhileTheConsumerIsDown(t *testing.T) {
	const groupCommitted = 5
	cases := []struct {
		name    string
		prune   func(t *testing.T, b bench, ib *inbox.Inbox) error
		effects int
	}{
		{"by the committed offset less the margin: nothing is applied twice",
			func(t *testing.T, b bench, ib *inbox.Inbox) error {
				_, err := ib.Prune(t.Context(), b.DB,
					inbox.PruneOptions{Retention: week, Committed: committed(groupCommitted)})
				return err
			}, 10},
		{"without a margin: the relay's copy is applied again", func(t *testing.T, b bench, ib *inbox.Inbox) error {
			_, err := ib.Prune(t.Context(), b.DB,
				inbox.PruneOptions{Retention: week, Committed: committed(groupCommitted), Margin: -1})
			return err
		}, 11},
		{"the rule taken out, by the clock: the redelivery is applied again too",
			func(t *testing.T, b bench, _ *inbox.Inbox) error {
				return pruneByClock(t.Context(), b)
			}, 16},
	}
	eachLayout(t, func(t *testing.T, b bench) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				b.exec(t, "DELETE FROM effects")
				b.exec(t, "DELETE FROM inbox_events")
				ib := b.inbox(t, "billing")
				deliver := func(event string, offset int64) {
					_, err := ib.Process(t.Context(), b.DB, inbox.Message{
						ID: event, Position: &inbox.Position{Topic: "orders", Offset: offset},
					}, b.effect(event))
					require.NoError(t, err)
				}
				for offset := int64(0); offset < 10; offset++ {
					deliver(fmt.Sprint("event ", offset), offset)
				}
				b.makeOlder(t, week+week/7)
				require.NoError(t, c.prune(t, b, ib))

				for offset := int64(groupCommitted); offset < 10; offset++ {
					deliver(fmt.Sprint("event ", offset), offset)
				}
				deliver("event 3", 10)
				require.Equal(t, c.effects, b.effects(t))
			})
		}
	})
}

// Hazard killed-batch, of those that run beside a message that kills the process: they have an attempt each
// that did not come back. From then on each of them runs alone, and no other is counted with the one at fault.
func TestHazardWhatRanBesideAMessageThatKillsIsNotBlamed(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.PostgreSQL(t)))
	kill := func(context.Context, *sql.Tx) error { runtime.Goexit(); return nil }
	for _, id := range []string{"kills", "innocent"} {
		died := make(chan struct{})
		go func() {
			defer close(died)
			_, _ = b.inbox(t, "billing").Process(context.WithoutCancel(t.Context()), b.DB, order(id, ""), kill)
		}()
		<-died
	}
	ib := b.inbox(t, "billing") // the process is back
	attempts := "SELECT attempts FROM inbox_attempts WHERE message_id = ?"
	outcome, err := ib.Process(t.Context(), b.DB, order("kills", ""), func(ctx context.Context, tx *sql.Tx) error {
		require.Equal(t, 2, b.count(t, attempts, "kills"))
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		_, err := ib.Process(short, b.DB, order("innocent", ""), b.effect("innocent"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 1, b.count(t, attempts, "innocent"), "not counted again")
		short, cancel = context.WithTimeout(ctx, 100*time.Millisecond) // the other has ended
		defer cancel()
		_, err = ib.ProcessBatch(short, b.DB, orders(2), func(context.Context, *sql.Tx, []inbox.Message) error {
			t.Error("a batch runs beside it, and would be killed with it")
			return errPoison
		})
		require.ErrorIs(t, err, context.DeadlineExceeded, "a batch neither")
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, inbox.Applied, outcome)
	outcome, err = ib.Process(t.Context(), b.DB, order("innocent", ""), b.effect("innocent"))
	require.NoError(t, err)
	require.Equal(t, inbox.Applied, outcome)
	b.clean(t)
}
