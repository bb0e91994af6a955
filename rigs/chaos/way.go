package chaos

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// way is one relay's way to the broker, which can be cut while the others' stay: a proxy in this
// process. Kafka has a listener for each and advertises the way's own address there, so
// that what a client learns from metadata leads through it too.
type way struct {
	address string // what the relay is given, and the broker advertises
	inner   int    // port of the broker's listener behind it

	listener net.Listener
	ended    sync.WaitGroup

	mu     sync.Mutex
	state  wayState
	change chan struct{} // closed when the state changes
	conns  map[net.Conn]struct{}
}

type wayState int

const (
	wayOpen    wayState = iota
	wayRefused          // connections are closed, and new ones at once
	waySilent           // nothing gets through; it does when the way is open again
	wayClosed
)

// newWay makes an open way. The caller calls close.
func newWay() (*way, error) {
	inner, err := freePort()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("make a relay's way to Kafka: %w", err)
	}
	w := &way{
		address: listener.Addr().String(), inner: inner, listener: listener,
		change: make(chan struct{}), conns: make(map[net.Conn]struct{}),
	}
	w.ended.Go(w.accept)
	return w, nil
}

// freePort returns a port below those that systems give to outgoing connections: while the
// broker is down nobody takes it by chance.
func freePort() (port int, err error) {
	for range 100 {
		port = 15_000 + rand.IntN(17_000)
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port for a listener of Kafka: %w", err)
}

// set changes the state. Connections live on in silence, and end otherwise.
func (w *way) set(state wayState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = state
	close(w.change)
	w.change = make(chan struct{})
	if state == wayRefused || state == wayClosed {
		for conn := range w.conns {
			_ = conn.Close() // whoever reads from it ends
		}
	}
}

// cut breaks the connections that there are.
func (w *way) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for conn := range w.conns {
		_ = conn.Close() // whoever reads from it ends
	}
}

// through waits while the way is silent. It reports false when nothing may pass any more.
func (w *way) through() bool {
	for {
		w.mu.Lock()
		state, change := w.state, w.change
		w.mu.Unlock()
		switch state {
		case wayOpen:
			return true
		case wayRefused, wayClosed:
			return false
		}
		<-change
	}
}

// keep adds a connection to those that end when the way is refused. It reports false, and
// closes it, when it is already.
func (w *way) keep(conn net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == wayRefused || w.state == wayClosed {
		_ = conn.Close()
		return false
	}
	w.conns[conn] = struct{}{}
	return true
}

func (w *way) drop(conn net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = conn.Close() // its other end sees it
	delete(w.conns, conn)
}

func (w *way) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		if w.keep(client) {
			w.ended.Go(func() { w.serve(client) })
		}
	}
}

func (w *way) serve(client net.Conn) {
	defer w.drop(client)
	if !w.through() {
		return
	}
	server, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", w.inner))
	if err != nil || !w.keep(server) {
		return // the broker is down, or the way was cut meanwhile
	}
	defer w.drop(server)
	var back sync.WaitGroup
	back.Go(func() {
		w.copy(client, server)
		_ = client.Close() // ends the other direction
	})
	w.copy(server, client)
	_ = server.Close()
	back.Wait()
}

// copy moves bytes until one of the connections ends. What was read in silence is kept, and
// sent when the way is open again, as a network does that was parted.
func (w *way) copy(to, from net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && w.through() {
			if _, failed := to.Write(buffer[:n]); failed != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (w *way) close() {
	_ = w.listener.Close() // nobody is let in any more
	w.set(wayClosed)
	w.ended.Wait()
}
