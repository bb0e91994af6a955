package world

import (
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/postroom/postroom/examples/shop/kit"
)

// broker is Kafka, RabbitMQ or Redis inside this process. When it is stopped, all connections to it are cut, and new
// ones are rejected. What it holds stays, as it would on a disk.
type broker struct {
	name  string
	stop  func()
	start func() error

	mu      sync.Mutex
	stopped bool
}

func (b *broker) set(running bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if running != b.stopped {
		return nil // it is so already
	}
	if running {
		if err := b.start(); err != nil {
			return fmt.Errorf("start %s: %w", b.name, err)
		}
	} else {
		b.stop()
	}
	b.stopped = !running
	return nil
}

func (b *broker) running() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.stopped
}

// broker returns a broker of this process, or nil.
func (w *World) broker(name string) *broker {
	for _, b := range w.brokers {
		if b.name == name {
			return b
		}
	}
	return nil
}

// startKafka starts a Kafka in this process.
func (w *World) startKafka() ([]string, error) {
	var door *gate
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.ListenFn(func(string, string) (net.Listener, error) {
		listener, err := reserve()
		door = newGate(listener)
		return door, err
	}))
	if err != nil {
		return nil, fmt.Errorf("start the Kafka of this process: %w", err)
	}
	w.closers = append(w.closers, func() error { cluster.Close(); return nil })
	w.brokers = append(w.brokers, &broker{name: "Kafka", stop: door.shut, start: door.open})
	return cluster.ListenAddrs(), nil
}

// startMails starts what stands in for RabbitMQ in this process.
func (w *World) startMails() *kit.MailChannel {
	channel := kit.NewMailChannel()
	w.closers = append(w.closers, channel.Close)
	w.brokers = append(w.brokers, &broker{
		name: "RabbitMQ",
		stop: func() { channel.SetRunning(false) }, start: func() error { channel.SetRunning(true); return nil },
	})
	return channel
}

// startRedis starts a Redis in this process.
func (w *World) startRedis() (address string, err error) {
	listener, err := reserve()
	if err != nil {
		return "", err
	}
	address = listener.Addr().String()
	redis := miniredis.NewMiniRedis()
	if err := errors.Join(listener.Close(), redis.StartAddr(address)); err != nil {
		return "", fmt.Errorf("start the Redis of this process: %w", err)
	}
	w.closers = append(w.closers, func() error { redis.Close(); return nil })
	w.brokers = append(w.brokers, &broker{
		name: "Redis", stop: redis.Close, start: func() error { return redis.StartAddr(address) },
	})
	return address, nil
}

// gate is a listener that can be shut and opened again. Its server does not notice.
type gate struct {
	address string

	mu       sync.Mutex
	listener net.Listener // nil: shut
	opened   chan struct{}
	conns    map[net.Conn]struct{}
	closed   bool
}

func newGate(listener net.Listener) *gate {
	if listener == nil {
		return nil
	}
	return &gate{
		address: listener.Addr().String(), listener: listener,
		opened: make(chan struct{}), conns: map[net.Conn]struct{}{},
	}
}

// Accept waits for a connection, also while the gate is shut.
func (g *gate) Accept() (net.Conn, error) {
	for {
		g.mu.Lock()
		listener, opened, closed := g.listener, g.opened, g.closed
		g.mu.Unlock()
		if closed {
			return nil, net.ErrClosed
		}
		if listener == nil {
			<-opened
			continue
		}
		conn, err := listener.Accept()
		if err != nil {
			g.mu.Lock()
			same := g.listener == listener && !g.closed
			g.mu.Unlock()
			if same {
				return nil, err
			}
			continue // it was shut meanwhile
		}
		if g.admit(conn, listener) {
			return &gateConn{conn, g}, nil
		}
		_ = conn.Close()
	}
}

func (g *gate) admit(conn net.Conn, through net.Listener) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.listener != through {
		return false
	}
	g.conns[conn] = struct{}{}
	return true
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.listener == nil {
		return
	}
	_ = g.listener.Close()
	g.listener = nil
	for conn := range g.conns {
		_ = conn.Close()
	}
}

func (g *gate) open() (err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.listener, err = net.Listen("tcp", g.address); err != nil {
		g.listener = nil
		return err
	}
	close(g.opened)
	g.opened = make(chan struct{})
	return nil
}

// Close ends Accept for ever.
func (g *gate) Close() error {
	g.shut()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed = true
		close(g.opened)
	}
	return nil
}

// Addr is the address, also while the gate is shut.
func (g *gate) Addr() net.Addr {
	address, _ := net.ResolveTCPAddr("tcp", g.address)
	return address
}

type gateConn struct {
	net.Conn
	gate *gate
}

// Close closes the connection, and the gate forgets it.
func (c *gateConn) Close() error {
	c.gate.mu.Lock()
	delete(c.gate.conns, c.Conn)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}
