package watermillamqp

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// While the broker blocks publishers, nothing is sent: it would arrive later, and again.
func TestABlockedConnectionIsAnOutageAndIsKept(t *testing.T) {
	far, network := newFar(t), newProxy(t)
	topic := far.fanout(t)
	sink := newSink(t, Config{URL: network.url})
	_, err := send(t.Context(), sink, topic, "k")
	require.NoError(t, err)
	network.send(methodFrame(0, classConnection, methodBlocked, []byte("\x0alow on RAM")))
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		_, err := send(t.Context(), sink, topic, "k")
		assert.ErrorContains(c, err, "low on RAM")
	}, patience, time.Millisecond)
	require.ErrorContains(t, sink.Check(t.Context()), "low on RAM")
	sent := len(far.arrived(t, topic))
	_, err = send(t.Context(), sink, topic, "k")
	require.ErrorContains(t, err, "low on RAM")
	require.False(t, rejected(err))
	require.Len(t, far.arrived(t, topic), sent, "nothing was sent")
	network.send(methodFrame(0, classConnection, methodUnblocked, nil))
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		_, err := send(t.Context(), sink, topic, "k")
		assert.NoError(c, err)
	}, patience, time.Millisecond)
	require.Equal(t, 1, network.connections())
}

// Hazard blocked-connection.
// In an alarm the broker answers everything on a connection that has not published yet, and blocks it at its first
// message. A check that publishes nothing would find the broker well.
func TestACheckFindsABrokerThatBlocksPublishers(t *testing.T) {
	network := newProxy(t)
	sink := newSink(t, Config{URL: network.url})
	require.NoError(t, sink.Check(t.Context()))
	network.answers(func(frame []byte) []byte {
		if isAck(frame) {
			return methodFrame(0, classConnection, methodBlocked, []byte("\x0alow on RAM"))
		}
		return frame
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.ErrorContains(t, sink.Check(ctx), "low on RAM")
	network.answers(nil)
	network.send(methodFrame(0, classConnection, methodUnblocked, nil))
	require.EventuallyWithT(t, func(c *assert.CollectT) { assert.NoError(c, sink.Check(t.Context())) },
		patience, time.Millisecond)
}

// A message that is on its way when the broker blocks waits for the end of its time. The connection stays: the next one
// would be blocked too, and leave messages behind as well.
func TestAMessageThatIsGivenUpWhileTheConnectionIsBlockedLeavesTheConnection(t *testing.T) {
	far, network := newFar(t), newProxy(t)
	topic := far.fanout(t)
	sink := newSink(t, Config{URL: network.url})
	var held atomic.Pointer[[]byte]
	waits := make(chan struct{})
	network.answers(func(frame []byte) []byte {
		if isAck(frame) && held.CompareAndSwap(nil, &frame) {
			close(waits)
			return methodFrame(0, classConnection, methodBlocked, []byte("\x0alow on RAM"))
		}
		return frame
	})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := send(ctx, sink, topic, "k")
		failed <- err
	}()
	<-waits
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.ErrorContains(c, sink.Check(t.Context()), "low on RAM")
	}, patience, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-failed, context.Canceled)
	network.send(*held.Load())
	network.send(methodFrame(0, classConnection, methodUnblocked, nil))
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		_, err := send(t.Context(), sink, topic, "k")
		assert.NoError(c, err)
	}, patience, time.Millisecond)
	require.Equal(t, 1, network.connections())
}
