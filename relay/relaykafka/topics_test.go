package relaykafka_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

func open(t *testing.T, cfg relaykafka.Config) (relay.Session, *answers) {
	t.Helper()
	got := newAnswers()
	session, err := newSink(t, cfg).Open(t.Context(), got.ack)
	require.NoError(t, err)
	t.Cleanup(session.Close)
	return session, got
}

// Hazard stale-metadata.
func TestATopicThatDoesNotExistIsRejectedOnlyAfterAWhile(t *testing.T) {
	cluster := fakeKafka(t, kfake.SeedTopics(1, "orders"))
	const after = 300 * time.Millisecond
	sink := newSink(t, relaykafka.Config{Brokers: cluster.ListenAddrs(), UnknownTopicAfter: after})
	reject := func(id int64) time.Duration {
		got := newAnswers()
		session, err := sink.Open(t.Context(), got.ack)
		require.NoError(t, err)
		defer session.Close()
		r := record(id, "no-such-topic", "k", nil)
		start := time.Now()
		session.Deliver(t.Context(), []*relay.Record{r})
		err = got.wait(t, r)[0]
		require.ErrorIs(t, err, relay.ErrRejected)
		require.ErrorContains(t, err, "no-such-topic")
		require.ErrorContains(t, err, "create it, or use --create-topics")
		return time.Since(start)
	}
	require.GreaterOrEqual(t, reject(1), after)
	require.Less(t, reject(2), after, "the next record of the topic waits anew")
	require.Nil(t, cluster.TopicInfo("no-such-topic"), "it must not be created")
}

func TestATopicThatAppearsInTimeGetsItsRecords(t *testing.T) {
	cluster := fakeKafka(t)
	session, got := open(t, relaykafka.Config{Brokers: cluster.ListenAddrs(), UnknownTopicAfter: time.Minute})
	asked := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Observe: true, Count: -1})
	records := numbered(1, 50, 5, "late")
	session.Deliver(t.Context(), records)
	require.NoError(t, asked.Wait(t.Context(), 3))
	require.NoError(t, cluster.CreateTopic("late", 2, nil))
	for _, err := range got.wait(t, records...) {
		require.NoError(t, err)
	}
	require.Equal(t, payloadsByKey(records), valuesByKey(consume(t, "late", cluster.ListenAddrs()...)))
}

// Hazard stale-metadata: just after a restart brokers report that no topic exists. A topic that has just
// taken records does exist, so a broker that denies it must not be believed about other topics either.
func TestDenialsCountForNothingWhileAKnownTopicIsDeniedToo(t *testing.T) {
	cluster := fakeKafka(t, kfake.SeedTopics(1, "orders", "new"))
	session, got := open(
		t, relaykafka.Config{Brokers: cluster.ListenAddrs(), UnknownTopicAfter: 100 * time.Millisecond},
	)
	known := record(1, "orders", "k", nil)
	session.Deliver(t.Context(), []*relay.Record{known})
	require.NoError(t, got.wait(t, known)[0])

	denial := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Err: kerr.UnknownTopicOrPartition, Count: -1})
	r := record(2, "new", "k", nil)
	session.Deliver(t.Context(), []*relay.Record{r})
	require.NoError(t, denial.Wait(t.Context(), 40)) // at ten looks in 100 ms, far longer than the limit
	denial.Remove()
	require.NoError(t, got.wait(t, r)[0])
}

// Hazard stale-metadata.
func TestDenialsCountForNothingAcrossAnOutage(t *testing.T) {
	cluster := fakeKafka(t, kfake.SeedTopics(1, "orders"))
	const after = 500 * time.Millisecond
	session, got := open(t, relaykafka.Config{Brokers: cluster.ListenAddrs(), UnknownTopicAfter: after})
	denial := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Observe: true, Count: -1})
	r := record(1, "missing", "k", nil)
	session.Deliver(t.Context(), []*relay.Record{r})
	require.NoError(t, denial.Wait(t.Context(), 4))
	// The broker is away for longer than a topic may be denied.
	down := make(chan struct{})
	away := time.AfterFunc(after, func() { close(down) })
	defer away.Stop()
	cluster.ControlKey(int16(kmsg.Metadata), func(kmsg.Request) (kmsg.Response, error, bool) {
		select {
		case <-down:
			cluster.DropControl()
			return nil, nil, false
		default:
			cluster.KeepControl()
			return nil, errors.New("away"), true
		}
	})
	<-down
	back := time.Now()
	require.ErrorIs(t, got.wait(t, r)[0], relay.ErrRejected)
	require.GreaterOrEqual(t, time.Since(back), after*9/10, "denials before the outage were counted")
}

func TestATopicDeletedWhileInUseIsRejected(t *testing.T) {
	cluster := fakeKafka(t, kfake.SeedTopics(1, "orders", "others"))
	session, got := open(
		t, relaykafka.Config{Brokers: cluster.ListenAddrs(), UnknownTopicAfter: 200 * time.Millisecond},
	)
	first := []*relay.Record{record(1, "orders", "k", nil), record(2, "others", "k", nil)}
	session.Deliver(t.Context(), first)
	got.wait(t, first...)
	require.NoError(t, cluster.DeleteTopic("orders"))
	r := record(3, "orders", "k", nil)
	session.Deliver(t.Context(), []*relay.Record{r})
	require.ErrorIs(t, got.wait(t, r)[0], relay.ErrRejected)
}

func TestCreateTopicsMakesThemWithTheGivenShape(t *testing.T) {
	cluster := fakeKafka(t)
	session, got := open(
		t, relaykafka.Config{Brokers: cluster.ListenAddrs(), CreateTopics: true, TopicPartitions: 5, TopicReplicas: 1},
	)
	records := append(numbered(1, 20, 5, "one"), numbered(21, 20, 5, "two")...)
	session.Deliver(t.Context(), records)
	for _, err := range got.wait(t, records...) {
		require.NoError(t, err)
	}
	require.Len(t, cluster.PartitionInfos("one"), 5)
	require.Len(t, cluster.PartitionInfos("two"), 5)
}

func TestATopicThatMayNotBeCreatedIsRejected(t *testing.T) {
	cluster := fakeKafka(t)
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	session, got := open(t, relaykafka.Config{Brokers: cluster.ListenAddrs(), CreateTopics: true})
	r := record(1, "secret", "k", nil)
	session.Deliver(t.Context(), []*relay.Record{r})
	err := got.wait(t, r)[0]
	require.ErrorIs(t, err, relay.ErrRejected)
	require.ErrorIs(t, err, kerr.TopicAuthorizationFailed)
	require.ErrorContains(t, err, "create it by hand")
}

func TestAnImpossibleTopicNameIsRejected(t *testing.T) {
	cluster := fakeKafka(t)
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Err: kerr.InvalidTopicException, Count: -1})
	session, got := open(t, relaykafka.Config{Brokers: cluster.ListenAddrs()})
	r := record(1, "what/name", "k", nil)
	session.Deliver(t.Context(), []*relay.Record{r})
	require.ErrorIs(t, got.wait(t, r)[0], relay.ErrRejected)
}

func TestATopicThatCannotBeCreatedNowIsTriedAgain(t *testing.T) {
	cluster := fakeKafka(t)
	log := newSpotter("could not be created")
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.InvalidReplicationFactor, Count: 2})
	session, got := open(t, relaykafka.Config{
		Brokers: cluster.ListenAddrs(), CreateTopics: true, Logger: slog.New(log), UnknownTopicAfter: time.Second,
	})
	r := record(1, "soon", "k", nil)
	session.Deliver(t.Context(), []*relay.Record{r})
	require.NoError(t, got.wait(t, r)[0])
	<-log.spotted
}

func TestCloseReturnsAtOnceThoughTheBrokerSaysNothing(t *testing.T) {
	cluster := fakeKafka(t, kfake.SeedTopics(1, "orders"))
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return nil, nil, true // no answer, and the connection stays
	})
	sink := newSink(t, relaykafka.Config{Brokers: cluster.ListenAddrs()})
	got := newAnswers()
	session, err := sink.Open(t.Context(), got.ack)
	require.NoError(t, err)
	sent := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Observe: true, Count: -1})
	records := numbered(1, 100, 5, "orders")
	session.Deliver(t.Context(), records)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, sent.Wait(ctx, 1))
	start := time.Now()
	session.Close()
	require.Less(t, time.Since(start), 2*time.Second)
	for _, err := range got.wait(t, records...) {
		require.ErrorIs(t, err, relay.ErrGivenUp)
	}
}
