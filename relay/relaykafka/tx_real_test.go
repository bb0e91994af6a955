package relaykafka_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/relay"
)

func TestATransactionsRecordsArriveWithTheirManifest(t *testing.T) {
	w := realTx(t)
	topic := w.topic(8)
	turn := w.open(nil)
	require.Empty(t, turn.sent(), "a new source has sent nothing")
	lists, all := batches(topic, 500, 1, 999)
	for _, list := range lists {
		turn.commit(list...)
	}
	require.Equal(t, wantedIDs(all...), eventIDs(committed(t, w.brokers, topic)))
	turn.Close()

	next := w.open(nil)
	require.Equal(t, sentOf(all...), next.sent())
}

func TestASessionThatOpensFencesTheOneBefore(t *testing.T) {
	w := realTx(t)
	topic := w.topic(4)
	first := w.open(nil)
	records := numbered(1, 30, 7, topic)
	first.commit(records[:10]...)
	second := w.open(nil)
	for _, err := range first.deliver(records[10:20]...) {
		require.ErrorIs(t, err, relay.ErrFenced)
		require.NotErrorIs(t, err, relay.ErrRejected)
	}
	for _, err := range first.deliver(records[20:]...) {
		require.ErrorIs(t, err, relay.ErrGivenUp, "the session is over")
	}
	require.Equal(t, sentOf(records[:10]...), second.sent())
	second.commit(records[10:20]...)
	require.Equal(t, wantedIDs(records[:20]...), eventIDs(committed(t, w.brokers, topic)))
}

// A predecessor dies, or hangs, after it has produced and before it commits.
func TestATransactionThatWasNotCommittedIsAbortedAndNotNamed(t *testing.T) {
	w := realTx(t)
	topic := w.topic(4)
	records := numbered(1, 20, 7, topic)
	first := w.open(nil)
	first.commit(records[:10]...)
	first.Close()

	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.TransactionalID(w.transactionalID()))
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.BeginTransaction())
	require.NoError(t, client.ProduceSync(w.ctx(), &kgo.Record{
		Topic: topic, Key: []byte("k0"), Value: []byte("never committed"),
	},
		&kgo.Record{Topic: w.manifest(), Value: []byte("nor is this, so that nobody has to read it")}).FirstErr())
	require.Len(t, uncommitted(t, w.brokers, topic), 11)

	second := w.open(nil)
	require.Equal(t, sentOf(records[:10]...), second.sent())
	require.Error(t, client.EndTransaction(w.ctx(), kgo.TryCommit))
	second.commit(records[10:]...)
	require.Equal(t, wantedIDs(records...), eventIDs(committed(t, w.brokers, topic)))
}

func TestTwoSourcesOfOneNameDoNotDisturbEachOther(t *testing.T) {
	w := realTx(t)
	other := newTxWorld(t, w.brokers)
	require.Equal(t, w.source.Source, other.source.Source)
	topic := w.topic(4)
	a, b := w.open(nil), other.open(nil)
	ours, theirs := numbered(1, 50, 7, topic), numbered(1, 50, 5, topic)
	for i := 0; i < 50; i += 10 {
		a.commit(ours[i : i+10]...)
		b.commit(theirs[i : i+10]...)
	}
	a.Close()
	b.Close()
	require.Equal(t, sentOf(ours...), w.open(nil).sent())
	require.Equal(t, sentOf(theirs...), other.open(nil).sent())
	require.Len(t, committed(t, w.brokers, topic), 100)
}

func TestAPositionIsToldOnceItHasMoved(t *testing.T) {
	w := realTx(t)
	topic := w.topic(1)
	turn := w.open(nil)
	start := turn.Confirm(0)
	require.NotNil(t, start, "where the manifests of this source begin")
	require.Nil(t, turn.Confirm(0), "it is as before")
	records := numbered(1, 30, 1, topic)
	for i := 0; i < 30; i += 10 {
		turn.commit(records[i : i+10]...)
	}
	second := turn.Confirm(2)
	require.NotNil(t, second)
	require.Nil(t, turn.Confirm(1), "a position does not go back")
	turn.Close()

	require.Equal(t, sentOf(records...), w.open(start).sent())
	require.Equal(t, sentOf(records[20:]...), w.open(second).sent())
}
