package inboxkafka_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbtest"
)

// The end of a transaction has an offset of its own, committed or aborted. A position before it
// lies outside the log when retention has deleted what is below, and nothing was lost.
func TestAPositionIsBehindTheEndOfATransaction(t *testing.T) {
	for name, end := range map[string]kgo.TransactionEndTry{"committed": kgo.TryCommit, "aborted": kgo.TryAbort} {
		t.Run(name, func(t *testing.T) {
			eachMode(t, func(t *testing.T, db dbtest.Database, mode inboxkafka.Mode) {
				w := newWorld(t, db, 1)
				applied := []string{"first"}
				w.produce(t, 0, "first")
				w.transact(t, end, "a", "b")
				if end == kgo.TryCommit {
					applied = append(applied, "a", "b")
				}
				r := consume(t, w.config(t, mode), w.effect)
				w.awaitEffects(t, len(applied))
				w.awaitCommitted(t, 4) // a record, two more, and the marker
				if mode == inboxkafka.OffsetsInDatabase {
					require.Equal(t, 1, w.count(t, "SELECT count(*) FROM inbox_offsets WHERE next_offset = 4"))
				}
				r.end(t)
				_, err := kadm.NewClient(w.producer).DeleteRecords(
					t.Context(), kadm.Offsets{w.topic: {0: kadm.Offset{Topic: w.topic, At: 4}}})
				require.NoError(t, err)
				w.transact(t, kgo.TryCommit, "c")
				r = consume(t, w.config(t, mode), w.effect)
				require.Equal(t, append(applied, "c"), w.awaitEffects(t, len(applied)+1))
				r.end(t)
			})
		})
	}
}

// transact writes records in a transaction.
func (w world) transact(t *testing.T, end kgo.TransactionEndTry, ids ...string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.TransactionalID(w.topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.BeginTransaction())
	var records []*kgo.Record
	for _, id := range ids {
		records = append(records, w.record(0, id))
	}
	require.NoError(t, client.ProduceSync(t.Context(), records...).FirstErr())
	require.NoError(t, client.EndTransaction(t.Context(), end))
}
