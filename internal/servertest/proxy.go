package servertest

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Proxy is the address that clients have of a server, as a proxy's or one that moves.
type Proxy struct {
	Address string // host and port

	listener net.Listener
	ended    sync.WaitGroup

	mu     sync.Mutex
	target string
	open   map[net.Conn]bool
}

// NewProxy listens on loopback until the test ends, and leads to target, a host and port.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &Proxy{Address: listener.Addr().String(), listener: listener, target: target, open: make(map[net.Conn]bool)}
	p.ended.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.Lead("")
		p.ended.Wait()
	})
	return p
}

// Lead cuts all connections, and leads new ones to target; "": nowhere.
func (p *Proxy) Lead(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
	for conn := range p.open {
		_ = conn.Close()
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.ended.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	p.mu.Lock()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		p.mu.Unlock()
		return
	}
	p.open[client], p.open[server] = true, true
	p.mu.Unlock()
	defer func() {
		_ = server.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, client)
		delete(p.open, server)
	}()
	var there sync.WaitGroup
	there.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	_, _ = io.Copy(client, server)
	_ = client.Close()
	there.Wait()
}
