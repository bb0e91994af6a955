package watermillamqp

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/relay"
)

// Hazard return-beside-confirm.
// A return and its confirm come one right after the other. No message may be taken for its neighbour, or for
// published.
func TestExactlyTheMessagesThatNoQueueTakesAreRejected(t *testing.T) {
	far := newFar(t)
	topic := far.exchange(t, "direct", "bound", nil)
	sink := newSink(t, Config{URL: dbtest.AMQP(t), Channels: 2})
	var wait sync.WaitGroup
	for lane := range 64 {
		wait.Go(func() {
			for i := range 40 {
				bound := (lane+i)%2 == 0
				key := map[bool]string{true: "bound", false: "nobody's"}[bound]
				_, err := send(t.Context(), sink, topic, key)
				assert.Equal(t, !bound, rejected(err), "key %s: %v", key, err)
				if !bound {
					assert.ErrorContains(t, err, "NO_ROUTE")
				}
			}
		})
	}
	wait.Wait()
	require.Len(t, far.arrived(t, topic), 64*40/2)
}

// Hazard channel-closed-for-one.
// The broker closes the channel for one message. The others on it are neither rejected nor an outage.
func TestAMessageThatTheBrokerDoesNotAcceptIsRejectedAlone(t *testing.T) {
	far := newFar(t)
	topic := far.fanout(t)
	internal := dbtest.Queue(t)
	require.NoError(t, far.ch.ExchangeDeclare(internal, "fanout", false, true, true, false, nil))
	defer func() { require.NoError(t, far.ch.ExchangeDelete(internal, false, false)) }()
	for _, wrong := range []struct{ exchange, says, todo string }{
		{dbtest.Queue(t), "NOT_FOUND", "declare the exchange"},
		{internal, "ACCESS_REFUSED", "permission to write"},
	} {
		sink := newSink(t, Config{URL: dbtest.AMQP(t), Channels: 1})
		var wait sync.WaitGroup
		for lane := range 32 {
			wait.Go(func() {
				for i := range 20 {
					if lane == 0 {
						_, err := send(t.Context(), sink, wrong.exchange, "k")
						assert.True(t, rejected(err), "%v", err)
						assert.ErrorContains(t, err, wrong.says)
						assert.ErrorContains(t, err, wrong.todo)
						continue
					}
					_, err := send(t.Context(), sink, topic, fmt.Sprint(lane))
					assert.NoError(t, err, "message %d of lane %d", i, lane)
				}
			})
		}
		wait.Wait()
	}
}

// What was rejected for a missing exchange goes out once the exchange is there. Meanwhile no message for it costs
// the shared channel, and afterwards none has a channel of its own.
func TestAnExchangeThatIsDeclaredLaterTakesMessages(t *testing.T) {
	far, network := newFar(t), newProxy(t)
	topic := dbtest.Queue(t)
	sink := newSink(t, Config{URL: network.url, Channels: 1})
	var opened atomic.Int32
	network.answers(func(frame []byte) []byte {
		if isMethod(frame, classChannel, methodOpenOK) {
			opened.Add(1)
		}
		return frame
	})
	for _, channels := range []int32{2, 3, 4} { // the shared one, and one for each message
		_, err := send(t.Context(), sink, topic, "k")
		require.True(t, rejected(err), "%v", err)
		require.Equal(t, channels, opened.Load())
	}
	require.NoError(t, far.ch.ExchangeDeclare(topic, "fanout", false, true, false, false, nil))
	_, err := far.ch.QueueDeclare(topic, false, true, true, false, nil)
	require.NoError(t, err)
	far.bind(t, topic, "")
	for _, channels := range []int32{5, 6, 6} { // one more for a message, and the shared one anew
		_, err := send(t.Context(), sink, topic, "k")
		require.NoError(t, err)
		require.Equal(t, channels, opened.Load())
	}
	require.Len(t, far.arrived(t, topic), 3)
	require.Equal(t, 1, network.connections(), "the connection stays")
}

// A queue at its limit sends a nack, and so does a broker that failed inside: it says nothing about the message.
func TestANackIsAnOutage(t *testing.T) {
	far := newFar(t)
	full := far.exchange(t, "fanout", "", amqp091.Table{"x-max-length": int32(1), "x-overflow": "reject-publish"})
	sink := newSink(t, Config{URL: dbtest.AMQP(t)})
	_, err := send(t.Context(), sink, full, "k")
	require.NoError(t, err)
	_, err = send(t.Context(), sink, full, "k")
	require.ErrorContains(t, err, "nack")
	require.False(t, rejected(err))
	require.Len(t, far.arrived(t, full), 1)
	_, err = send(t.Context(), sink, full, "k")
	require.NoError(t, err, "the queue has room again")
}

// The broker says that a message has no queue and then that it does not have it: it may be published again.
func TestAReturnWithANackIsAnOutage(t *testing.T) {
	far, network := newFar(t), newProxy(t)
	topic := far.exchange(t, "direct", "bound", nil)
	sink := newSink(t, Config{URL: network.url})
	network.answers(func(frame []byte) []byte {
		if isAck(frame) {
			return toNack(frame)
		}
		return frame
	})
	_, err := send(t.Context(), sink, topic, "nobody's")
	require.ErrorContains(t, err, "nack")
	require.False(t, rejected(err))
}

// The URL or the broker may allow few channels.
func TestFewChannelsAreSharedAndTooFewAreAnError(t *testing.T) {
	far := newFar(t)
	topic := far.fanout(t)
	sink := newSink(t, Config{URL: dbtest.AMQP(t) + "?channel_max=19", Lanes: 64})
	for _, err := range deliver(t, sink, record(1, topic, "a", nil), record(2, topic, "b", nil)) {
		require.NoError(t, err)
	}
	sink = newSink(t, Config{URL: dbtest.AMQP(t) + "?channel_max=18"})
	require.ErrorContains(t, sink.Check(t.Context()), "channel_max) allows 18 channels, and at least 19 are needed")
}

// RabbitMQ would send the message to the queues that the header names.
func TestHeadersThatRabbitMQReadsAsRoutingKeysAreRejected(t *testing.T) {
	far := newFar(t)
	topic := far.fanout(t)
	sink := newSink(t, Config{URL: dbtest.AMQP(t)})
	r := record(1, topic, "k", nil)
	r.Headers = []byte(`{"CC":"another"}`)
	err := deliver(t, sink, r)[0]
	require.True(t, isRejection(err), "%v", err)
	require.ErrorContains(t, err, "give the header another name")
	require.Empty(t, far.arrived(t, topic))
}

// The first copy of a message got a return and a nack. Its second copy has a queue.
func TestAReturnOfAnEarlierCopyIsForgotten(t *testing.T) {
	far, network := newFar(t), newProxy(t)
	topic := far.exchange(t, "direct", "bound", nil)
	sink := newSink(t, Config{URL: network.url, Channels: 1})
	network.answers(func(frame []byte) []byte {
		if isAck(frame) {
			return toNack(frame)
		}
		return frame
	})
	out := &outgoing{exchange: topic, key: "later", Publishing: amqp091.Publishing{MessageId: "one"}}
	require.ErrorContains(t, sink.publisher.publish(t.Context(), out), "nack")
	network.answers(nil)
	far.bind(t, topic, "later")
	require.NoError(t, sink.publisher.publish(t.Context(), out))
}

func TestAnAnswerThatNeverComesIsAnOutage(t *testing.T) {
	far, network := newFar(t), newProxy(t)
	topic := far.fanout(t)
	sink := newSink(t, Config{URL: network.url, ConfirmTimeout: time.Second})
	network.answers(func(frame []byte) []byte {
		if isAck(frame) {
			return nil
		}
		return frame
	})
	_, err := send(t.Context(), sink, topic, "k")
	require.ErrorContains(t, err, "not confirmed a message within 1s")
	require.False(t, rejected(err))
	network.answers(nil)
	_, err = send(t.Context(), sink, topic, "k")
	require.NoError(t, err)
	require.Equal(t, 2, network.connections(), "what was given up went with its connection")
}

func TestAContextThatEndsBreaksOffEveryWait(t *testing.T) {
	far, network := newFar(t), newProxy(t)
	topic := far.fanout(t)
	sink := newSink(t, Config{URL: network.url})
	for _, connected := range []bool{false, true} {
		if connected {
			_, err := send(t.Context(), sink, topic, "k")
			require.NoError(t, err)
		}
		restore := network.stand()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := send(ctx, sink, topic, "k")
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		restore()
	}
}

// A write waits while the broker reads nothing, and the library's call knows no context.
func TestAContextThatEndsBreaksOffAWrite(t *testing.T) {
	far, network := newFar(t), newProxy(t)
	topic := far.fanout(t)
	sink := newSink(t, Config{URL: network.url})
	_, err := send(t.Context(), sink, topic, "k")
	require.NoError(t, err)
	defer network.stand()()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	out := &outgoing{exchange: topic, Publishing: amqp091.Publishing{MessageId: "m", Body: make([]byte, 32<<20)}}
	began := time.Now()
	require.ErrorIs(t, sink.publisher.publish(ctx, out), context.DeadlineExceeded)
	require.Less(t, time.Since(began), sink.publisher.cfg.ConfirmTimeout/2)
}

// One outage has one cause, however many messages notice it and in which way: the log of the relay has one line.
func TestALostConnectionHasOneCause(t *testing.T) {
	far, network := newFar(t), newProxy(t)
	sink := newSink(t, Config{URL: network.url})
	for _, change := range []func(){
		func() { network.breaksAt(classBasic, methodAck, network.cut) },
		func() { network.breaksAt(classConnection, methodTune, network.cut) }, // in the handshake
		func() { _ = network.listener.Close() },
	} {
		change()
		err := deliver(t, sink, record(1, far.fanout(t), "k", nil))[0]
		var cause relay.OutageError
		require.ErrorAs(t, err, &cause)
		require.Equal(t, "no connection", cause.OutageCause(), "%v", err)
	}
}

// Connections break again and again. Every event arrives, and the first copies of a key arrive in its order.
func TestConnectionsThatBreakLoseNothingAndKeepTheOrder(t *testing.T) {
	far, network := newFar(t), newProxy(t)
	topic := far.fanout(t)
	sink := newSink(t, Config{URL: network.url, Lanes: 64})
	missing := dbtest.Queue(t) // each of its events closes a channel
	ctx, stop := context.WithCancel(t.Context())
	var breaking sync.WaitGroup
	breaking.Go(func() {
		tick := time.NewTicker(15 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				network.cut()
			case <-ctx.Done():
				return
			}
		}
	})
	const keys, each = 20, 100
	var waiting []*relay.Record
	want := make(map[string][]string)
	for i := range keys * each {
		r := record(int64(i), topic, fmt.Sprint("key-", i%keys), []byte("x"))
		want[string(r.Key)] = append(want[string(r.Key)], r.EventID.String())
		waiting = append(waiting, r)
		if i%200 == 0 {
			waiting = append(waiting, record(int64(-i-1), missing, "k", nil))
		}
	}
	outages := 0
	for deadline := time.Now().Add(2 * patience); len(waiting) > 0; {
		require.False(t, time.Now().After(deadline), "%d records are left", len(waiting))
		if outages == 40 {
			stop()
		}
		var again []*relay.Record
		failed := false
		for i, err := range deliver(t, sink, waiting...) {
			switch r := waiting[i]; {
			case err == nil:
				require.NotEqual(t, missing, r.Topic)
			case isRejection(err):
				require.Equal(t, missing, r.Topic, "%v", err)
			default:
				failed = true
				again = append(again, r)
			}
		}
		if failed {
			outages++
		}
		waiting = again
	}
	stop()
	breaking.Wait()
	require.Greater(t, outages, 5, "the connections broke too seldom to show anything")
	got := make(map[string][]string)
	seen := make(map[string]bool)
	for _, d := range far.arrived(t, topic) {
		if !seen[d.MessageId] {
			seen[d.MessageId] = true
			got[d.RoutingKey] = append(got[d.RoutingKey], d.MessageId)
		}
	}
	require.Equal(t, want, got)
}

func TestHeadersThatDoNotFitIntoAFrameAreRejected(t *testing.T) {
	out := &outgoing{Publishing: amqp091.Publishing{Headers: amqp091.Table{"a": strings.Repeat("x", 4000)}}}
	require.NoError(t, out.checkHeader(0), "no limit")
	require.NoError(t, out.checkHeader(8192))
	require.ErrorContains(t, out.checkHeader(4096), "raise frame_max")
}
