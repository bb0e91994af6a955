package relaykafka_test

import (
	"context"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// These tests force hazard delivery-timeout: the broker accepts every request, and none of its answers
// arrives, for longer than each of the client's timeouts.

// Hazard delivery-timeout.
func TestAnOutageMakesNoDuplicatesOnAFakeKafka(t *testing.T) {
	cluster := fakeKafka(t, kfake.SeedTopics(4, "orders"))
	outageWithoutDuplicates(t, "orders", cluster.ListenAddrs())
}

// Hazard delivery-timeout.
func TestAnOutageMakesNoDuplicatesOnARealKafka(t *testing.T) {
	outageWithoutDuplicates(t, dbtest.Topic(t, 4), strings.Split(dbtest.Kafka(t), ","))
}

func outageWithoutDuplicates(t *testing.T, topic string, brokers []string) {
	network := newLossyNetwork()
	sink := newSink(
		t, relaykafka.Config{Brokers: brokers, ExtraOptions: append(shortTimeouts(), kgo.Dialer(network.dial))},
	)
	got := newAnswers()
	session, err := sink.Open(t.Context(), got.ack)
	require.NoError(t, err)
	defer session.Close()

	before := numbered(1, 100, 10, topic)
	session.Deliver(t.Context(), before)
	for _, err := range got.wait(t, before...) {
		require.NoError(t, err)
	}
	network.loseAnswers()
	var during []*relay.Record
	for i := range 20 {
		batch := numbered(int64(101+i*10), 10, 10, topic)
		during = append(during, batch...)
		session.Deliver(t.Context(), batch)
	}
	network.waitForLosses(t, 12)
	network.restore()
	after := numbered(301, 100, 10, topic)
	session.Deliver(t.Context(), after)
	all := slices.Concat(before, during, after)
	for _, err := range got.wait(t, all...) {
		require.NoError(t, err)
	}
	arrived := consume(t, topic, brokers...)
	require.Len(t, arrived, len(all), "exactly one copy of each")
	require.Equal(t, payloadsByKey(all), valuesByKey(arrived))
}

// Hazard delivery-timeout.
// The naive sink drops its client when an answer takes too long, as a delivery timeout would. The broker has
// the records, and accepts them again from the new client.
func TestASinkThatThrowsItsClientAwayDuplicates(t *testing.T) {
	cluster := fakeKafka(t, kfake.SeedTopics(4, "orders"))
	network := newLossyNetwork()
	records := numbered(1, 50, 10, "orders")
	network.loseAnswers()
	for attempt := 1; len(records) > 0; attempt++ {
		require.Less(t, attempt, 10)
		client, err := kgo.NewClient(
			append(shortTimeouts(), kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.Dialer(network.dial))...,
		)
		require.NoError(t, err)
		var wg sync.WaitGroup
		var mu sync.Mutex
		var again []*relay.Record
		for _, r := range records {
			wg.Add(1)
			client.Produce(t.Context(), &kgo.Record{
				Topic: r.Topic, Key: r.Key, Value: r.Payload,
			}, func(_ *kgo.Record, err error) {
				defer wg.Done()
				if err != nil {
					mu.Lock()
					defer mu.Unlock()
					again = append(again, r)
				}
			})
		}
		if attempt == 1 {
			network.waitForLosses(t, 1)
			client.Close() // "the delivery took too long"
			network.restore()
		}
		wg.Wait()
		client.Close()
		records = again
	}
	require.Greater(t, len(consume(t, "orders", cluster.ListenAddrs()...)), 50)
}

func payloadsByKey(records []*relay.Record) map[string][]string {
	m := make(map[string][]string)
	for _, r := range records {
		m[string(r.Key)] = append(m[string(r.Key)], string(r.Payload))
	}
	return m
}

func valuesByKey(records []*kgo.Record) map[string][]string {
	m := make(map[string][]string)
	for _, r := range records {
		m[string(r.Key)] = append(m[string(r.Key)], string(r.Value))
	}
	return m
}

// shortTimeouts are shorter than the outages of these tests, so that each of the client's own timeouts
// passes.
func shortTimeouts() []kgo.Opt {
	return []kgo.Opt{
		kgo.ProduceRequestTimeout(100 * time.Millisecond),
		kgo.RequestTimeoutOverhead(100 * time.Millisecond),
		kgo.RetryTimeout(200 * time.Millisecond),
	}
}

const produceKey = 0 // Kafka's API key of a Produce request

// lossyNetwork can lose the answers to produce requests, or to requests with another key. The broker gets the
// request, and the connection breaks when its answer comes.
type lossyNetwork struct {
	key    byte
	losing atomic.Bool
	losses atomic.Int64
	lost   chan struct{}

	mu    sync.Mutex
	conns []net.Conn
}

// closeClient closes every connection.
func (n *lossyNetwork) closeClient() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, conn := range n.conns {
		_ = conn.Close()
	}
	n.conns = nil
}

func newLossyNetwork() *lossyNetwork { return &lossyNetwork{lost: make(chan struct{}, 1)} }

func (n *lossyNetwork) loseAnswers() { n.losing.Store(true) }
func (n *lossyNetwork) restore()     { n.losing.Store(false) }

func (n *lossyNetwork) waitForLosses(t *testing.T, count int64) {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for n.losses.Load() < count {
		select {
		case <-n.lost:
		case <-timeout.C:
			require.FailNow(t, "answers were not lost", "%d of %d", n.losses.Load(), count)
		}
	}
}

func (n *lossyNetwork) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns = append(n.conns, conn)
	return &lossyConn{Conn: conn, network: n}, nil
}

type lossyConn struct {
	net.Conn
	network *lossyNetwork
	carries atomic.Bool // this connection has carried a request with the key
}

func (c *lossyConn) Write(p []byte) (int, error) {
	if len(p) > 6 && p[4] == 0 && p[5] == c.network.key {
		c.carries.Store(true)
	}
	return c.Conn.Write(p)
}

func (c *lossyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && c.carries.Load() && c.network.losing.Load() {
		_ = c.Conn.Close()
		c.network.losses.Add(1)
		select {
		case c.network.lost <- struct{}{}:
		default:
		}
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	}
	return n, err
}
