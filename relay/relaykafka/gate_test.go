package relaykafka_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
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

// Hazard queued-failure.
// The test forces the interleaving of gate.go: the promise of the rejected record waits behind the promise of
// another partition while the next record of its key is delivered.
func TestNoRecordOvertakesARefusedOneWhosePromiseIsStillQueued(t *testing.T) {
	scene := newOvertaking(t)
	sink := newSink(t, relaykafka.Config{Brokers: scene.cluster.ListenAddrs(), Logger: slog.New(scene.log)})
	session, err := sink.Open(t.Context(), scene.ack)
	require.NoError(t, err)
	sent := scene.play(t, func(r *relay.Record) { session.Deliver(t.Context(), []*relay.Record{r}) })
	require.False(t, sent, "the record behind the refused one was sent")
	got := scene.answers.wait(t, scene.first, scene.refused, scene.behind)
	session.Close()
	require.NoError(t, got[0])
	require.ErrorIs(t, got[1], relay.ErrRejected)
	require.ErrorIs(t, got[2], relay.ErrGivenUp)
	require.Empty(t, consume(t, "refused", scene.cluster.ListenAddrs()...))
}

// Hazard queued-failure.
// The naive gate is a flag that the failure's promise sets. It lets the record through. If this test fails,
// franz-go has changed, and gate.go can be simpler.
func TestANaiveGateLetsARecordOvertake(t *testing.T) {
	scene := newOvertaking(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(scene.cluster.ListenAddrs()...), kgo.ProducerLinger(0),
		kgo.WithLogger(slogged{scene.log}))
	require.NoError(t, err)
	defer client.Close()
	var failed atomic.Bool
	sent := scene.play(t, func(r *relay.Record) {
		if failed.Load() {
			scene.ack(r, relay.ErrGivenUp)
			return
		}
		client.Produce(context.Background(), &kgo.Record{
			Topic: r.Topic, Key: r.Key, Value: r.Payload,
		}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(true)
			}
			scene.ack(r, err)
		})
	})
	require.True(t, sent)
	got := scene.answers.wait(t, scene.first, scene.refused, scene.behind)
	require.Error(t, got[1])
	require.NoError(t, got[2], "published, though the record before it was not")
}

// overtaking is the setup of both tests.
type overtaking struct {
	cluster                *kfake.Cluster
	answers                *answers
	first, refused, behind *relay.Record
	acking, release        chan struct{}
	log                    *spotter
}

func newOvertaking(t *testing.T) *overtaking {
	// There are two brokers, because the answers of one broker come in order.
	cluster := fakeKafka(t, kfake.NumBrokers(2), kfake.SeedTopics(1, "fine", "refused"))
	require.NoError(t, cluster.MoveTopicPartition("fine", 0, 0))
	require.NoError(t, cluster.MoveTopicPartition("refused", 0, 1))
	return &overtaking{
		cluster: cluster,
		answers: newAnswers(),
		first:   record(1, "fine", "other", []byte("1")),
		refused: record(2, "refused", "k", []byte("2")),
		behind:  record(3, "refused", "k", []byte("3")),
		acking:  make(chan struct{}),
		release: make(chan struct{}),
		log:     newSpotter("batch in a produce request failed"),
	}
}

// ack delays the first record's promise, and so the queue of promises.
func (o *overtaking) ack(r *relay.Record, err error) {
	if r == o.first {
		close(o.acking)
		<-o.release
	}
	o.answers.ack(r, err)
}

// play returns whether the record behind the rejected one was sent to the broker.
func (o *overtaking) play(t *testing.T, deliver func(*relay.Record)) (sent bool) {
	o.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "refused", Err: kerr.MessageTooLarge, Count: 1})
	arrived, answer := make(chan struct{}), make(chan struct{})
	var held atomic.Bool
	o.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		if held.Swap(true) { // only the first request
			return nil, nil, false
		}
		o.cluster.DropControl()
		close(arrived)
		o.cluster.SleepControl(func() { <-answer })
		return nil, nil, false
	})
	deliver(o.refused)
	<-arrived
	deliver(o.first)
	<-o.acking
	close(answer)
	<-o.log.spotted // kgo has failed the batch, and queued the promise
	watch := o.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "refused", Observe: true, Count: -1})
	deliver(o.behind)
	// Wait for something that must not happen. With the naive gate it takes a millisecond.
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	sent = watch.Wait(ctx, 1) == nil
	close(o.release)
	return sent
}

// spotter is a log handler that closes spotted when a message has the given text.
type spotter struct {
	text    string
	once    sync.Once
	spotted chan struct{}
}

func newSpotter(text string) *spotter { return &spotter{text: text, spotted: make(chan struct{})} }

func (s *spotter) Enabled(context.Context, slog.Level) bool { return true }
func (s *spotter) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s *spotter) WithGroup(string) slog.Handler            { return s }
func (s *spotter) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, s.text) {
		s.once.Do(func() { close(s.spotted) })
	}
	return nil
}

// slogged is a plain franz-go logger that writes to a spotter.
type slogged struct{ spotter *spotter }

func (slogged) Level() kgo.LogLevel { return kgo.LogLevelInfo }
func (l slogged) Log(_ kgo.LogLevel, msg string, _ ...any) {
	_ = l.spotter.Handle(context.Background(), slog.Record{Message: msg})
}
