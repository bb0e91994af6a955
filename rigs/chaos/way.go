package chaos

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// way is one relay's connection to the broker. It is a proxy in this process, which can be cut while those of
// the other relays stay. Kafka has a listener for each proxy and advertises the proxy's address there, so
// that the addresses that a client learns from metadata lead through it too.
type way struct {
	address string // the address that the relay gets and the broker advertises
	inner   int    // port of the broker's listener behind the proxy

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
	wayRefused          // connections are closed, and new ones are closed at once
	waySilent           // nothing passes until the way is open again
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

// freePort returns a port below the range for outgoing connections, so that no other program gets it by
// chance while the broker is down.
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

// set changes the state. Connections stay open when the way becomes silent, and are closed otherwise.
func (w *way) set(state wayState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = state
	close(w.change)
	w.change = make(chan struct{})
	if state == wayRefused || state == wayClosed {
		for conn := range w.conns {
			_ = conn.Close() // its reader ends
		}
	}
}

// cut closes the current connections. It reports whether there was one.
func (w *way) cut() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	had := len(w.conns) > 0
	for conn := range w.conns {
		_ = conn.Close()      // its reader ends
		delete(w.conns, conn) // the next cut does not count it again
	}
	return had
}

// through waits while the way is silent. It returns false when nothing may pass any more.
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

// keep adds a connection to those that are closed when the way is refused. If the way is refused already, it
// closes the connection and returns false.
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
	_ = conn.Close() // its other end notices that
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
		return // the broker is down, or the way was cut in the meantime
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

// copy moves bytes until one of the connections ends. Bytes that were read while the way is silent are kept,
// and sent when it is open again, as after a partition of a network.
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
	_ = w.listener.Close() // accept no more connections
	w.set(wayClosed)
	w.ended.Wait()
}
