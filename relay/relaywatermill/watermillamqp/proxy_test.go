package watermillamqp

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
)

// proxy is the network between the sink and the test broker, which other tests also use. It can stop, break
// connections, and change what the broker sends.
type proxy struct {
	t        testing.TB
	listener net.Listener
	broker   string
	url      string      // URL of the broker, through the proxy
	tls      *tls.Config // for the sink's side; nil: none

	mu    sync.Mutex
	still chan struct{} // not nil: nothing passes until it is closed
	// answer, if set, returns what the sink gets instead of a frame of the broker.
	answer func(frame []byte) []byte
	links  map[*link]struct{}
	made   int
	work   sync.WaitGroup
}

type link struct {
	client, broker net.Conn
	in             *bufio.Reader // of client
}

func (l *link) close() {
	_ = l.client.Close()
	_ = l.broker.Close()
}

func newProxy(t testing.TB) *proxy {
	t.Helper()
	uri, err := amqp091.ParseURI(dbtest.AMQP(t))
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{t: t, listener: listener, links: make(map[*link]struct{})}
	p.broker = net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))
	uri.Host, uri.Port = "127.0.0.1", listener.Addr().(*net.TCPAddr).Port
	p.url = uri.String()
	p.work.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.stand()()
		p.cut()
		p.work.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		broker, err := net.Dial("tcp", p.broker)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		if p.tls != nil {
			client = tls.Server(client, p.tls)
		}
		p.mu.Unlock()
		l := &link{client, broker, bufio.NewReader(client)}
		p.mu.Lock()
		p.links[l] = struct{}{}
		p.made++
		p.mu.Unlock()
		p.work.Go(func() { p.toBroker(l) })
		p.work.Go(func() { p.toClient(l) })
	}
}

// cut breaks all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.close()
		delete(p.links, l)
	}
}

// reset breaks all connections, and the sink's side gets a reset instead of an end.
func (p *proxy) reset() {
	p.mu.Lock()
	for l := range p.links {
		_ = l.client.(*net.TCPConn).SetLinger(0)
	}
	p.mu.Unlock()
	p.cut()
}

// breaksAt has breaks called instead of passing on a method of the broker.
func (p *proxy) breaksAt(class, method uint16, breaks func()) {
	p.answers(func(frame []byte) []byte {
		if isMethod(frame, class, method) {
			go breaks() // answers are made under the lock
			return nil
		}
		return frame
	})
}

// stand stops all traffic until the returned function is called.
func (p *proxy) stand() (restore func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.still == nil {
		p.still = make(chan struct{})
	}
	still := p.still
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.still == still {
			p.still = nil
			close(still)
		}
	})
}

// wait returns when traffic may pass. It reports whether it had to wait.
func (p *proxy) wait() (waited bool) {
	p.mu.Lock()
	still := p.still
	p.mu.Unlock()
	if still == nil {
		return false
	}
	<-still
	return true
}

func (p *proxy) answers(f func(frame []byte) []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = f
}

// send sends a frame to all clients, as if the broker had sent it.
func (p *proxy) send(frame []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		_, _ = l.client.Write(frame) // between two frames, because toClient holds the lock when it writes
	}
}

func (p *proxy) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.made
}

func (p *proxy) toBroker(l *link) {
	defer l.close()
	b := make([]byte, 64<<10)
	for {
		n, err := l.in.Read(b)
		if err != nil {
			return
		}
		if p.wait() && l.gone() { // what the client sent is lost too
			return
		}
		if _, err := l.broker.Write(b[:n]); err != nil {
			return
		}
	}
}

// gone reports whether the sink has closed the connection. It closes with a reset, which arrives before data.
func (l *link) gone() bool {
	_ = l.client.SetReadDeadline(time.Now().Add(time.Millisecond))
	defer func() { _ = l.client.SetReadDeadline(time.Time{}) }()
	_, err := l.in.Peek(l.in.Buffered() + 1)
	var timeout net.Error
	return err != nil && !errors.Is(err, bufio.ErrBufferFull) && !(errors.As(err, &timeout) && timeout.Timeout())
}

func (p *proxy) toClient(l *link) {
	defer l.close()
	r := bufio.NewReader(l.broker)
	for {
		frame, err := readFrame(r)
		if err != nil {
			return
		}
		p.wait()
		p.mu.Lock()
		if p.answer != nil {
			frame = p.answer(frame)
		}
		_, err = l.client.Write(frame)
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// A frame has its type, the channel, the length, that many bytes, and the end 0xCE. A method's bytes begin
// with the numbers of its class and of the method.
const (
	frameMethod = 1
	frameEnd    = 0xCE
)

func readFrame(r io.Reader) ([]byte, error) {
	header := make([]byte, 7)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, err
	}
	frame := append(header, make([]byte, binary.BigEndian.Uint32(header[3:])+1)...)
	_, err := io.ReadFull(r, frame[7:])
	return frame, err
}

func isMethod(frame []byte, class, method uint16) bool {
	return frame[0] == frameMethod && len(frame) > 11 &&
		binary.BigEndian.Uint16(frame[7:]) == class && binary.BigEndian.Uint16(frame[9:]) == method
}

func methodFrame(channel, class, method uint16, arguments []byte) []byte {
	frame := []byte{frameMethod}
	frame = binary.BigEndian.AppendUint16(frame, channel)
	frame = binary.BigEndian.AppendUint32(frame, uint32(4+len(arguments)))
	frame = binary.BigEndian.AppendUint16(frame, class)
	frame = binary.BigEndian.AppendUint16(frame, method)
	return append(append(frame, arguments...), frameEnd)
}

const (
	classConnection, methodBlocked, methodUnblocked = 10, 60, 61
	methodTune, methodConnectionOpenOK              = 30, 41
	classChannel, methodOpenOK                      = 20, 11
	classBasic, methodAck, methodNack               = 60, 80, 120
)

func isAck(frame []byte) bool { return isMethod(frame, classBasic, methodAck) }

// toNack makes a nack from an ack. Both have a number and a byte of flags, whose first flag is multiple.
func toNack(frame []byte) []byte {
	binary.BigEndian.PutUint16(frame[9:], methodNack)
	return frame
}
