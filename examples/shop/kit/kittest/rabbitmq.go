package kittest

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
)

// RabbitMQ returns the test broker, reached through a proxy that can cut all connections. What is declared for the
// mails of kafka's shop goes with the test.
func RabbitMQ(t testing.TB, kafka kit.Kafka) (kit.Mails, *Proxy) {
	t.Helper()
	address := Address(t, "POSTROOM_TEST_AMQP_URL")
	u, err := url.Parse(address)
	require.NoError(t, err)
	proxy := newProxy(t, u.Host)
	u.Host = proxy.listener.Addr().String()
	t.Cleanup(func() {
		connection, err := amqp091.Dial(address)
		require.NoError(t, err)
		channel, err := connection.Channel()
		require.NoError(t, err)
		topic := kafka.Topic(events.Mails)
		_, err = channel.QueueDelete(topic+"_notifications", false, false, false)
		require.NoError(t, err)
		require.NoError(t, channel.ExchangeDelete(topic, false, false))
		require.NoError(t, connection.Close())
	})
	return kit.Mails{URL: u.String()}, proxy
}

// Proxy is a way to a server that can be cut.
type Proxy struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	open     []net.Conn
	running  sync.WaitGroup
}

func newProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &Proxy{listener: listener, target: target}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		p.Cut()
		p.running.Wait()
	})
	return p
}

// Cut closes all connections, as a restart of the server does. New ones are accepted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.open {
		_ = c.Close()
	}
	p.open = nil
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // the listener is closed
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.open = append(p.open, client, server)
		p.mu.Unlock()
		for _, pair := range [][2]net.Conn{{client, server}, {server, client}} {
			p.running.Go(func() {
				_, _ = io.Copy(pair[0], pair[1])
				_ = pair[0].Close()
				_ = pair[1].Close()
			})
		}
	}
}
