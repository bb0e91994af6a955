package relaykafka_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

func TestARefusalIsARejectionThatNamesTheReasonAndTheRemedy(t *testing.T) {
	for _, refusal := range []struct {
		answer *kerr.Error
		says   string
	}{
		{kerr.MessageTooLarge, "max.message.bytes"},
		{kerr.RecordListTooLarge, "segment.bytes"},
		{kerr.InvalidRecord, "compacted"},
		{kerr.InvalidTopicException, "topic names"},
		{kerr.TopicAuthorizationFailed, "Write"},
		{kerr.PolicyViolation, "policy"},
	} {
		t.Run(refusal.answer.Message, func(t *testing.T) {
			cluster := fakeKafka(t, kfake.SeedTopics(1, "orders", "fine"))
			cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "orders", Err: refusal.answer, Count: 1})
			sink := newSink(t, relaykafka.Config{Brokers: cluster.ListenAddrs()})
			got := newAnswers()
			session, err := sink.Open(t.Context(), got.ack)
			require.NoError(t, err)
			defer session.Close()
			r := record(7, "orders", "k", []byte("p"))
			session.Deliver(t.Context(), []*relay.Record{r})
			err = got.wait(t, r)[0]
			require.ErrorIs(t, err, relay.ErrRejected)
			require.ErrorIs(t, err, refusal.answer)
			require.ErrorContains(t, err, "orders")
			require.ErrorContains(t, err, "row 7")
			require.ErrorContains(t, err, refusal.says)
			require.NotContains(t, err.Error(), "payload")
		})
	}
}

func TestATransientErrorIsRetriedWithoutCopiesAndInOrder(t *testing.T) {
	for _, answer := range []*kerr.Error{
		kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.NotEnoughReplicas,
		kerr.NotEnoughReplicasAfterAppend, kerr.LeaderNotAvailable, kerr.UnknownTopicOrPartition,
		kerr.BrokerNotAvailable,
	} {
		t.Run(answer.Message, func(t *testing.T) {
			cluster := fakeKafka(t, kfake.SeedTopics(2, "orders"))
			fault := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "orders", Err: answer, Count: 3})
			deliverInOrder(t, cluster, numbered(1, 200, 7, "orders"))
			require.Equal(t, 3, fault.Hits())
		})
	}
}

func TestConnectionsThatBreakAreRiddenOut(t *testing.T) {
	cluster := fakeKafka(t, kfake.SeedTopics(2, "orders"))
	broken := 0
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		if broken++; broken <= 5 {
			cluster.KeepControl()
			return nil, errors.New("broken"), true
		}
		cluster.DropControl()
		return nil, nil, false
	})
	deliverInOrder(t, cluster, numbered(1, 200, 7, "orders"))
}

func TestALeaderThatMovesIsFollowed(t *testing.T) {
	cluster := fakeKafka(t, kfake.NumBrokers(3), kfake.SeedTopics(3, "orders"))
	sink := newSink(t, relaykafka.Config{Brokers: cluster.ListenAddrs()})
	got := newAnswers()
	session, err := sink.Open(t.Context(), got.ack)
	require.NoError(t, err)
	defer session.Close()
	var all []*relay.Record
	for i := range 10 {
		batch := numbered(int64(1+20*i), 20, 5, "orders")
		all = append(all, batch...)
		session.Deliver(t.Context(), batch)
		cluster.ShufflePartitionLeaders()
	}
	for _, err := range got.wait(t, all...) {
		require.NoError(t, err)
	}
	arrived := consume(t, "orders", cluster.ListenAddrs()...)
	require.Len(t, arrived, len(all))
	require.Equal(t, payloadsByKey(all), valuesByKey(arrived))
}

// deliverInOrder delivers in batches of ten, and checks that each record arrived once, in order.
func deliverInOrder(t *testing.T, cluster *kfake.Cluster, records []*relay.Record) {
	t.Helper()
	sink := newSink(t, relaykafka.Config{Brokers: cluster.ListenAddrs()})
	got := newAnswers()
	session, err := sink.Open(t.Context(), got.ack)
	require.NoError(t, err)
	defer session.Close()
	for batch := range slices.Chunk(records, 10) {
		session.Deliver(t.Context(), batch)
	}
	for _, err := range got.wait(t, records...) {
		require.NoError(t, err)
	}
	arrived := consume(t, records[0].Topic, cluster.ListenAddrs()...)
	require.Len(t, arrived, len(records), "exactly one copy of each")
	require.Equal(t, payloadsByKey(records), valuesByKey(arrived))
}

func TestDeniedAccessToTheClusterIsAnOutage(t *testing.T) {
	cluster := fakeKafka(t, kfake.SeedTopics(1, "orders"))
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.ClusterAuthorizationFailed, Count: -1})
	sink := newSink(t, relaykafka.Config{Brokers: cluster.ListenAddrs()})
	got := newAnswers()
	session, err := sink.Open(t.Context(), got.ack)
	require.NoError(t, err)
	defer session.Close()
	r := record(1, "orders", "k", nil)
	session.Deliver(t.Context(), []*relay.Record{r})
	err = got.wait(t, r)[0]
	require.ErrorIs(t, err, kerr.ClusterAuthorizationFailed)
	require.NotErrorIs(t, err, relay.ErrRejected)
}

func TestARecordLargerThanABatchIsRejectedAndNamesBothLimits(t *testing.T) {
	cluster := fakeKafka(t, kfake.SeedTopics(1, "orders"))
	sink := newSink(t, relaykafka.Config{Brokers: cluster.ListenAddrs(), BatchMaxBytes: 10_000})
	got := newAnswers()
	session, err := sink.Open(t.Context(), got.ack)
	require.NoError(t, err)
	defer session.Close()
	fits := record(1, "orders", "a", make([]byte, 9_000))
	session.Deliver(t.Context(), []*relay.Record{fits})
	require.NoError(t, got.wait(t, fits)[0])
	large := record(2, "orders", "b", make([]byte, 9_990))
	behind := record(3, "orders", "b", nil)
	session.Deliver(t.Context(), []*relay.Record{large, behind})
	answers := got.wait(t, large, behind)
	require.ErrorIs(t, answers[0], relay.ErrRejected)
	for _, part := range []string{"row 2", "orders", "BatchMaxBytes", "message.max.bytes"} {
		require.ErrorContains(t, answers[0], part)
	}
	require.ErrorIs(t, answers[1], relay.ErrGivenUp)
	require.Len(t, consume(t, "orders", cluster.ListenAddrs()...), 1)
}

// A record that passes our own check must not be too large for franz-go, whose rejection comes through the
// queue of promises.
func TestARecordJustUnderTheLimitIsTaken(t *testing.T) {
	cluster := fakeKafka(t, kfake.SeedTopics(1, "orders"))
	sink := newSink(t, relaykafka.Config{Brokers: cluster.ListenAddrs(), BatchMaxBytes: 10_000})
	got := newAnswers()
	taken := 0
	for size := 9_600; ; size++ {
		session, err := sink.Open(t.Context(), got.ack)
		require.NoError(t, err)
		r := record(int64(size), "orders", strings.Repeat("k", 20), make([]byte, size))
		r.Headers = []byte(`{"a":"b"}`)
		session.Deliver(t.Context(), []*relay.Record{r})
		answer := got.wait(t, r)[0]
		session.Close()
		if answer != nil {
			require.ErrorContains(t, answer, "BatchMaxBytes", "refused by another than us")
			break
		}
		taken++
	}
	require.Positive(t, taken)
}
