package relaykafka_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// fakeTx is a txWorld on a fake Kafka.
func fakeTx(t testing.TB, opts ...kfake.Opt) (*txWorld, *kfake.Cluster) {
	t.Helper()
	cluster := fakeKafka(t, opts...)
	return newTxWorld(t, cluster.ListenAddrs()), cluster
}

// Hazard partly-aborted-transaction.
// The broker has the record for "kept". For "torn" it answers that it does not know the producer, and that
// retention has removed what this producer wrote before. kgo then asks for a new epoch, for which the broker
// aborts the records that it has, and kgo sends the rest. A commit of the rest would lose the record for
// "kept", whose row the manifest names.
func TestATransactionThatTheClientHasTornIsNotCommitted(t *testing.T) {
	w, cluster := fakeTx(t, kfake.NumBrokers(2), kfake.SeedTopics(1, "kept", "torn"))
	turn := w.open(nil)
	require.NoError(t, cluster.MoveTopicPartition("kept", 0, 0))
	require.NoError(t, cluster.MoveTopicPartition("torn", 0, 1))
	require.NoError(t, cluster.MoveTopicPartition(w.manifest(), 0, 0))
	first := []*relay.Record{record(1, "kept", "k", nil), record(2, "torn", "k", nil)}
	turn.commit(first...)

	id, written := cluster.TopicInfo("torn").TopicID, make(chan struct{})
	reloaded := cluster.Fault(
		kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, TxnID: w.transactionalID(), Observe: true, Count: -1},
	)
	var answered atomic.Bool
	cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		produce := req.(*kmsg.ProduceRequest)
		if topic := produce.Topics[0]; topic.Topic != "torn" && topic.TopicID != id || answered.Swap(true) {
			return nil, nil, false
		}
		cluster.SleepControl(func() { <-written })
		return unknownProducer(produce), nil, true
	})
	second := []*relay.Record{record(3, "kept", "k", nil), record(4, "torn", "k", nil)}
	turn.Deliver(w.ctx(), second)
	require.Eventually(
		t, func() bool { return cluster.PartitionInfo("kept", 0).HighWatermark >= 3 }, patience, time.Millisecond,
	)
	close(written)
	for _, err := range turn.wait(t, second...) {
		require.ErrorContains(t, err, "new epoch in mid-transaction")
		require.NotErrorIs(t, err, relay.ErrRejected)
		require.NotErrorIs(t, err, relay.ErrFenced)
	}
	require.Positive(t, reloaded.Hits(), "franz-go no longer does what the guard is for")
	turn.Close()
	next := w.open(nil)
	require.Equal(t, sentOf(first...), next.sent())
	next.commit(second...)
	require.Len(t, committed(t, w.brokers, "kept"), 2)
	require.Len(t, committed(t, w.brokers, "torn"), 2)
}

func unknownProducer(req *kmsg.ProduceRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range req.Topics {
		answer := kmsg.NewProduceResponseTopic()
		answer.Topic, answer.TopicID = topic.Topic, topic.TopicID
		for _, p := range topic.Partitions {
			partition := kmsg.NewProduceResponseTopicPartition()
			partition.Partition = p.Partition
			partition.ErrorCode = kerr.UnknownProducerID.Code
			partition.LogStartOffset = 1 << 40
			answer.Partitions = append(answer.Partitions, partition)
		}
		resp.Topics = append(resp.Topics, answer)
	}
	return resp
}

// Hazard rejected-batch.
// One record that the broker rejects ends the whole transaction, and the session.
func TestARefusedRecordAbortsItsTransaction(t *testing.T) {
	w := realTx(t)
	fine, compacted := w.topic(2), w.topic(4)
	turn := w.open(nil)
	turn.commit(record(300, compacted, "k", nil)) // the validator keeps what it knows about the topic for a minute
	w.set(compacted, "cleanup.policy", "compact")
	good, bad := numbered(1, 200, 7, fine), record(201, compacted, "", []byte("without a key"))
	answers := turn.deliver(append(good[:200:200], bad)...)
	require.ErrorIs(t, answers[200], relay.ErrRejected)
	require.ErrorContains(t, answers[200], "row 201")
	require.ErrorContains(t, answers[200], "compacted")
	for _, err := range answers[:200] {
		require.ErrorIs(t, err, relay.ErrGivenUp)
	}
	late := record(202, fine, "k", nil)
	require.ErrorIs(t, turn.deliver(late)[0], relay.ErrGivenUp)
	turn.Close()
	require.Empty(t, committed(t, w.brokers, fine))

	next := w.open(nil)
	require.Len(t, next.sent(), 1, "the first record alone")
	next.commit(good...)
	require.Equal(t, wantedIDs(good...), eventIDs(committed(t, w.brokers, fine)))
}

func TestARecordThatNoBatchHoldsIsRejectedAndWhatIsBeforeItGoes(t *testing.T) {
	w, _ := fakeTx(t, kfake.SeedTopics(1, "orders"))
	turn := w.open(nil)
	before, huge, behind := record(1, "orders", "k", nil), record(
		2, "orders", "k", make([]byte, 2<<20),
	), record(3, "orders", "k", nil)
	answers := turn.deliver(before, huge, behind)
	require.NoError(t, answers[0])
	require.ErrorIs(t, answers[1], relay.ErrRejected)
	require.ErrorIs(t, answers[2], relay.ErrGivenUp)
	require.Len(t, committed(t, w.brokers, "orders"), 1)
}

// A rejected manifest says nothing about the records.
func TestARefusedManifestIsNotTheRecordsFault(t *testing.T) {
	w, cluster := fakeTx(t, kfake.SeedTopics(1, "orders"))
	turn := w.open(nil)
	cluster.Fault(
		kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: w.manifest(), Err: kerr.TopicAuthorizationFailed, Count: 1},
	)
	err := turn.deliver(record(1, "orders", "k", nil))[0]
	require.NotErrorIs(t, err, relay.ErrRejected)
	require.NotErrorIs(t, err, relay.ErrGivenUp)
	require.ErrorContains(t, err, w.manifest())
	require.ErrorContains(t, err, "needs Write and Describe")
}

// Hazard lost-commit-answer.
// The broker commits, and its answer is lost for longer than the client asks again. The records are not
// acknowledged, and the next session knows that they were sent.
func TestACommitWhoseAnswerIsLostIsFoundByTheNextSession(t *testing.T) {
	w := realTx(t)
	network := &lossyNetwork{key: byte(kmsg.EndTxn), lost: make(chan struct{}, 1)}
	plain := w.cfg
	w.cfg.ExtraOptions = append(shortTimeouts(), kgo.Dialer(network.dial), kgo.RequestRetries(3))
	topic := w.topic(2)
	turn := w.open(nil)
	records := numbered(1, 50, 7, topic)
	network.loseAnswers()
	for _, err := range turn.deliver(records...) {
		require.Error(t, err)
		require.NotErrorIs(t, err, relay.ErrRejected)
		require.NotErrorIs(t, err, relay.ErrFenced)
	}
	network.waitForLosses(t, 1)
	turn.Close()
	w.cfg = plain
	require.Equal(t, sentOf(records...), w.open(nil).sent())
	require.Equal(t, wantedIDs(records...), eventIDs(committed(t, w.brokers, topic)))
}

// Hazard lost-commit-answer.
func TestACommitWhoseAnswerIsLostOnceIsAskedForAgain(t *testing.T) {
	w := realTx(t)
	network := &lossyNetwork{key: byte(kmsg.EndTxn), lost: make(chan struct{}, 1)}
	w.cfg.ExtraOptions = []kgo.Opt{kgo.Dialer(network.dial)}
	topic := w.topic(2)
	turn := w.open(nil)
	records := numbered(1, 50, 7, topic)
	network.loseAnswers()
	turn.Deliver(w.ctx(), records[:25])
	network.waitForLosses(t, 1)
	network.restore()
	for _, err := range turn.wait(t, records[:25]...) {
		require.NoError(t, err)
	}
	turn.commit(records[25:]...)
	require.Equal(t, wantedIDs(records...), eventIDs(committed(t, w.brokers, topic)))
}

// A broker answers INVALID_PRODUCER_EPOCH to a producer that was fenced, and to one whose transaction it has
// aborted because it timed out. Only in the first case another producer is involved.
func TestATransactionThatLastedTooLongIsNotTakenForFenced(t *testing.T) {
	w, cluster := fakeTx(t, kfake.SeedTopics(1, "orders"))
	const timeout = 300 * time.Millisecond
	for _, late := range []bool{false, true} {
		if late {
			w.cfg = relaykafka.WithTransactionTimeout(w.cfg, timeout)
		}
		turn := w.open(nil)
		cluster.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
			if late {
				cluster.SleepControl(func() { <-time.After(2 * timeout) })
			}
			answer := req.ResponseKind().(*kmsg.EndTxnResponse)
			answer.ErrorCode = kerr.ProducerFenced.Code
			return answer, nil, true
		})
		err := turn.deliver(record(1, "orders", "k", nil))[0]
		if late {
			require.NotErrorIs(t, err, relay.ErrFenced)
			require.ErrorContains(t, err, "not through after")
		} else {
			require.ErrorIs(t, err, relay.ErrFenced)
			require.ErrorContains(t, err, w.source.ID.String())
		}
		turn.Close()
	}
}

func TestABrokerThatTakesNothingEndsTheTransactionWhenItTimesOut(t *testing.T) {
	w, _ := fakeTx(t, kfake.SeedTopics(1, "orders"))
	network := new(cutNetwork)
	w.cfg = relaykafka.WithTransactionTimeout(w.cfg, 500*time.Millisecond)
	w.cfg.ExtraOptions = []kgo.Opt{kgo.Dialer(network.dial)}
	turn := w.open(nil)
	restore := network.cut()
	records := numbered(1, 20, 7, "orders")
	for _, err := range turn.deliver(records...) {
		require.ErrorContains(t, err, "not through after")
		require.ErrorContains(
			t, err,
			"has not acknowledged 21 of 21 records of source default, most of topic orders and of 1 more topics",
		)
		require.NotErrorIs(t, err, relay.ErrRejected)
	}
	restore()
	next := w.open(nil)
	require.Empty(t, next.sent())
	next.commit(records...)
}

func TestCloseGivesUpTheOpenTransactionWithoutWaitingForABroker(t *testing.T) {
	w, _ := fakeTx(t, kfake.SeedTopics(1, "orders"))
	network := new(cutNetwork)
	w.cfg.ExtraOptions = []kgo.Opt{kgo.Dialer(network.dial)}
	turn := w.open(nil)
	network.cut()
	records := numbered(1, 20, 7, "orders")
	turn.Deliver(w.ctx(), records)
	began := time.Now()
	turn.Close()
	require.Less(t, time.Since(began), patience/2)
	for _, err := range turn.wait(t, records...) { // and each only once
		require.ErrorIs(t, err, relay.ErrGivenUp)
	}
	turn.Close()
}

func TestRecordsOfATopicThatIsMissingWaitWhileTheOthersGo(t *testing.T) {
	w, cluster := fakeTx(t, kfake.SeedTopics(1, "orders"))
	w.cfg.UnknownTopicAfter = time.Minute
	turn := w.open(nil)
	late := numbered(1, 10, 3, "late")
	turn.Deliver(w.ctx(), late[:5])
	turn.commit(numbered(101, 10, 3, "orders")...)
	turn.Deliver(w.ctx(), late[5:])
	turn.commit(numbered(201, 10, 3, "orders")...)
	require.NoError(t, cluster.CreateTopic("late", 2, nil))
	for _, err := range turn.wait(t, late...) {
		require.NoError(t, err)
	}
	require.Equal(t, wantedIDs(late...), eventIDs(committed(t, w.brokers, "late")))
}

func TestRecordsOfATopicThatStaysMissingAreRejected(t *testing.T) {
	w, cluster := fakeTx(t, kfake.SeedTopics(1, "orders"))
	w.cfg.UnknownTopicAfter = 300 * time.Millisecond
	turn := w.open(nil)
	fine, lost := numbered(1, 5, 3, "orders"), record(6, "no-such-topic", "k", nil)
	answers := turn.deliver(append(fine[:5:5], lost)...)
	for _, err := range answers[:5] {
		require.NoError(t, err)
	}
	require.ErrorIs(t, answers[5], relay.ErrRejected)
	require.ErrorContains(t, answers[5], "topic no-such-topic does not exist")
	require.ErrorIs(t, turn.deliver(record(7, "orders", "k", nil))[0], relay.ErrGivenUp)
	require.Nil(t, cluster.TopicInfo("no-such-topic"), "it must not be created")
	turn.Close()
	require.Equal(t, sentOf(fine...), w.open(nil).sent())
}

func TestATransactionsTopicsAreCreatedWhenAskedFor(t *testing.T) {
	w, cluster := fakeTx(t)
	w.cfg.CreateTopics, w.cfg.TopicPartitions = true, 3
	w.open(nil).commit(numbered(1, 10, 3, "made")...)
	require.Equal(t, int32(3), int32(len(cluster.PartitionInfos("made"))))
}

// Hazard stale-metadata.
// A broker that also denies the manifest topic has just started, and is not up to date.
func TestDenialsCountForNothingWhileTheManifestTopicIsDeniedToo(t *testing.T) {
	w, cluster := fakeTx(t, kfake.SeedTopics(1, "orders"))
	w.cfg.UnknownTopicAfter = 100 * time.Millisecond
	turn := w.open(nil)
	denial := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Err: kerr.UnknownTopicOrPartition, Count: -1})
	r := record(1, "orders", "k", nil)
	turn.Deliver(w.ctx(), []*relay.Record{r})
	require.NoError(t, denial.Wait(t.Context(), 4))
	denial.Remove()
	require.NoError(t, turn.wait(t, r)[0])
}

// While one transaction commits, delivered records collect for the next.
func TestWhatIsDeliveredDuringACommitSharesTheNextTransaction(t *testing.T) {
	w, cluster := fakeTx(t, kfake.SeedTopics(1, "orders"))
	turn := w.open(nil)
	committing, release := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	cluster.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
		if !once.Swap(true) {
			close(committing)
			cluster.SleepControl(func() { <-release })
		}
		return nil, nil, false
	})
	records := numbered(1, 30, 7, "orders")
	turn.Deliver(w.ctx(), records[:10])
	<-committing
	turn.Deliver(w.ctx(), records[10:20])
	turn.Deliver(w.ctx(), records[20:])
	close(release)
	for _, err := range turn.wait(t, records...) {
		require.NoError(t, err)
	}
	require.Len(t, committed(t, w.brokers, w.manifest()), 2)
}
