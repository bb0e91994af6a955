package inboxkafka_test

import (
	"context"
	"database/sql"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbtest"
)

// Hazard copy-at-new-offset.
// In each mode: in order, once, duplicates at new offsets included, and a clean stop that
// the next member goes on from.
func TestEachModeAppliesAMessageOnce(t *testing.T) {
	for _, mode := range []inboxkafka.Mode{inboxkafka.PerMessage, inboxkafka.Batch, inboxkafka.OffsetsInDatabase} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dbtest.PostgreSQL(t), 1)
			first := ids("a", 50)
			w.produce(t, 0, first...)
			w.produce(t, 0, first[10:30]...) // the relay's duplicates, at new offsets
			w.produce(t, 0, "b")
			r := consume(t, w.config(t, mode), w.effect)
			w.awaitEffects(t, 51)
			r.end(t)
			require.Equal(t, append(first, "b"), w.effects(t))
			require.Equal(t, int64(71), w.committed(t), "the last commit is made at the end")

			w.produce(t, 0, "b", "c")
			var begun atomic.Int64
			r = consume(t, w.config(t, mode), func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
				begun.Add(1)
				return w.effect(ctx, tx, m)
			})
			w.awaitEffects(t, 52)
			r.end(t)
			require.Equal(t, int64(1), begun.Load(), "c alone")
		})
	}
}

// committed is the group's offset of partition 0, as soon as its coordinator answers: a broker that is busy, or that
// begins, says COORDINATOR_NOT_AVAILABLE, which tells nothing of the offset.
func (w world) committed(t *testing.T) (at int64) {
	t.Helper()
	w.asksOffset(t, func(_ *assert.CollectT, answer int64) { at = answer })
	return at
}

// awaitCommitted waits until the group's offset of partition 0 is want.
func (w world) awaitCommitted(t *testing.T, want int64) {
	t.Helper()
	w.asksOffset(t, func(c *assert.CollectT, answer int64) { require.Equal(c, want, answer) })
}

// asksOffset asks for the group's offset of partition 0 until check accepts an answer.
func (w world) asksOffset(t *testing.T, check func(c *assert.CollectT, answer int64)) {
	t.Helper()
	// Of its own: the producer may have connections from before the broker was restarted.
	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...))
	require.NoError(t, err)
	defer client.Close()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		offsets, err := kadm.NewClient(client).FetchOffsets(t.Context(), w.topic)
		require.NoError(c, err)
		at, _ := offsets.Lookup(w.topic, 0)
		require.NoError(c, at.Err)
		check(c, at.At)
	}, patience, 10*time.Millisecond)
}

// Hazard copy-at-new-offset: a position alone does not know the relay's duplicates, which come
// at new offsets.
func TestHazardOffsetsWithoutIDsApplyARelaysDuplicateTwice(t *testing.T) {
	for name, c := range map[string]struct {
		exactlyOnce bool
		applied     int
	}{
		"the naive way: the topic is declared exactly-once, and is not": {true, 4},
		"with ids, the default": {false, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dbtest.SQLite(t), 1)
			w.produce(t, 0, "a", "b", "a", "end")
			cfg := w.config(t, inboxkafka.OffsetsInDatabase)
			if c.exactlyOnce {
				cfg.ExactlyOnceTopics = cfg.Topics
			}
			r := consume(t, cfg, w.effect)
			require.Eventually(t, func() bool {
				return w.count(
					t, "SELECT count(*) FROM effects WHERE message_id = 'end'") == 1
			}, patience, 20e6)
			r.end(t)
			require.Len(t, w.effects(t), c.applied)
			if c.exactlyOnce {
				require.Zero(t, w.count(t, "SELECT count(*) FROM inbox_events"))
			}
		})
	}
}

func TestRecordsOfAbortedTransactionsAreNotSeen(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), 1)
	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.TransactionalID(w.topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	for _, tx := range []struct {
		id  string
		end kgo.TransactionEndTry
	}{{"aborted", kgo.TryAbort}, {"committed", kgo.TryCommit}} {
		require.NoError(t, client.BeginTransaction())
		require.NoError(t, client.ProduceSync(t.Context(), w.record(0, tx.id)).FirstErr())
		require.NoError(t, client.EndTransaction(t.Context(), tx.end))
	}
	r := consume(t, w.config(t, inboxkafka.Batch), w.effect)
	require.Equal(t, []string{"committed"}, w.awaitEffects(t, 1))
	r.end(t)
}

func TestABatchHandlerGetsManyMessages(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), 1)
	w.produce(t, 0, ids("a", 100)...)
	c, err := inboxkafka.New(w.config(t, inboxkafka.Batch))
	require.NoError(t, err)
	var calls atomic.Int64
	r := start(t, func(ctx context.Context) error {
		return c.RunBatch(ctx, func(ctx context.Context, tx *sql.Tx, ms []inbox.Message) error {
			calls.Add(1)
			for _, m := range ms {
				if err := w.effect(ctx, tx, m); err != nil {
					return err
				}
			}
			return nil
		})
	})
	require.Equal(t, ids("a", 100), w.awaitEffects(t, 100))
	r.end(t)
	require.Less(t, calls.Load(), int64(50))
}

// Hazard two-groups.
// Offsets of another consumer would say of its work that it is done here.
func TestAGroupOfAnotherInboxIsRefused(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), 1)
	w.produce(t, 0, "a")
	r := consume(t, w.config(t, inboxkafka.Batch), w.effect)
	w.awaitEffects(t, 1)
	r.end(t)

	cfg := w.config(t, inboxkafka.Batch)
	other, err := inbox.New(w.Dialect, "mailing")
	require.NoError(t, err)
	cfg.Inbox = other
	err = consume(t, cfg, w.effect).wait(t)
	require.ErrorContains(t, err, `consumer="billing"`)
	require.ErrorContains(t, err, `consumer="mailing"`)
	require.ErrorContains(t, err, "AdoptOffsets")

	cfg.AdoptOffsets = true
	w.produce(t, 0, "b")
	r = consume(t, cfg, w.effect)
	w.awaitEffects(t, 2)
	r.end(t)
}

// Kafka would go on at an end of the log, without a word.
func TestAPositionOutsideTheLogStopsRun(t *testing.T) {
	for _, mode := range []inboxkafka.Mode{inboxkafka.Batch, inboxkafka.OffsetsInDatabase} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dbtest.SQLite(t), 1)
			w.produce(t, 0, "a")
			r := consume(t, w.config(t, mode), w.effect)
			w.awaitEffects(t, 1)
			r.end(t)
			w.produce(t, 0, "b", "c")
			_, err := kadm.NewClient(w.producer).DeleteRecords(
				t.Context(), kadm.Offsets{w.topic: {0: kadm.Offset{Topic: w.topic, At: 2}}})
			require.NoError(t, err)

			err = consume(t, w.config(t, mode), w.effect).wait(t)
			require.ErrorContains(t, err, "outside the log", "b was never handled")

			cfg := w.config(t, mode)
			cfg.ResetOffset = inboxkafka.Earliest
			r = consume(t, cfg, w.effect)
			require.Equal(t, []string{"a", "c"}, w.awaitEffects(t, 2))
			r.end(t)
		})
	}
}
