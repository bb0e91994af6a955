package dbtest

import (
	"context"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Link is a network between a test and its database that carries so many bytes a second
// from the server, over all connections together. Little fits into its buffers.
type Link struct {
	server string
	rate   int

	carried, connections atomic.Int64

	mu   sync.Mutex
	free time.Time // when the bytes under way have arrived

	open sync.WaitGroup
}

// SlowLink returns db as it is reached over a link of so many bytes a second.
func SlowLink(t testing.TB, db Database, bytesPerSecond int) (Database, *Link) {
	t.Helper()
	u, err := url.Parse(db.URL)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &Link{server: u.Host, rate: bytesPerSecond}
	ctx, cancel := context.WithCancel(context.Background())
	l.open.Go(func() { l.accept(ctx, listener) })
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		l.open.Wait()
	})
	u.Host = listener.Addr().String()
	target := open(t, u.String()) // closed before the link is
	return Database{Dialect: db.Dialect, Flavor: db.Flavor, DB: target.DB, URL: u.String()}, l
}

// Carried is how many bytes came from the server.
func (l *Link) Carried() int64 { return l.carried.Load() }

// Connections is how many were made.
func (l *Link) Connections() int64 { return l.connections.Load() }

func (l *Link) accept(ctx context.Context, listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		l.connections.Add(1)
		l.open.Go(func() { l.connect(ctx, client) })
	}
}

func (l *Link) connect(ctx context.Context, client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", l.server)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	_ = server.(*net.TCPConn).SetReadBuffer(32 << 10)
	_ = client.(*net.TCPConn).SetWriteBuffer(32 << 10)
	defer context.AfterFunc(ctx, func() { _, _ = client.Close(), server.Close() })()
	l.open.Go(func() {
		_, _ = io.Copy(server, client)
		_, _ = server.Close(), client.Close()
	})
	buffer := make([]byte, 16<<10)
	for {
		n, err := server.Read(buffer)
		if n > 0 {
			l.pass(ctx, n)
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits for as long as n bytes take.
func (l *Link) pass(ctx context.Context, n int) {
	l.carried.Add(int64(n))
	l.mu.Lock()
	now := time.Now()
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(n) * time.Second / time.Duration(l.rate))
	until := l.free
	l.mu.Unlock()
	if wait := time.Until(until); wait > time.Millisecond {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}
