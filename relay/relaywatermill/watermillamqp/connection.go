package watermillamqp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

const (
	dialTimeout  = 10 * time.Second
	closeTimeout = 5 * time.Second
	heartbeat    = 10 * time.Second // a peer that is gone is noticed after three
)

// otherChannels is the number of channels that messages do not share: for single messages, for Check and for
// HasExchange.
const otherChannels = maxAlone + 2

// connection is a connection with its channels.
type connection struct {
	amqp    *amqp091.Connection
	socket  *socket
	timeout time.Duration
	killed  atomic.Bool
	blocked atomic.Pointer[string] // why the broker takes no messages; nil: it does
	next    atomic.Uint64
	slots   []slot
}

// slot is the place of a channel that messages share.
type slot struct {
	mu sync.Mutex
	ch *channel
}

func dial(ctx context.Context, cfg Config) (*connection, error) {
	c := &connection{timeout: cfg.ConfirmTimeout}
	properties := amqp091.NewConnectionProperties()
	properties.SetClientConnectionName(cfg.Name)
	// The library's handshake has no context.
	stop := func() bool { return true }
	conn, err := amqp091.DialConfig(cfg.URL, amqp091.Config{
		Heartbeat: heartbeat, Properties: properties, TLSClientConfig: cfg.TLS.Clone(), Locale: "en_US",
		Dial: func(network, address string) (net.Conn, error) {
			tcp, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			c.socket = &socket{Conn: tcp, timeout: cfg.ConfirmTimeout}
			stop = context.AfterFunc(ctx, c.socket.drop) // the library's handshake has no context
			// The library removes this deadline after the handshake.
			return c.socket, tcp.SetDeadline(time.Now().Add(dialTimeout))
		},
	})
	stop()
	if err != nil {
		if c.socket == nil {
			return nil, err
		}
		c.socket.drop()
		return nil, c.socket.handshakeError(ctx, err)
	}
	c.amqp = conn
	free := int(conn.Config.ChannelMax) - otherChannels
	if free < 1 {
		c.kill()
		return nil, fmt.Errorf("the broker or the URL (channel_max) allows %d channels, and at least %d are needed",
			conn.Config.ChannelMax, otherChannels+1)
	}
	c.slots = make([]slot, min(cfg.Channels, free))
	go c.watchBlocked(conn.NotifyBlocked(make(chan amqp091.Blocking)))
	return c, nil
}

// watchBlocked ends when the connection ends, because the library then closes changes.
func (c *connection) watchBlocked(changes <-chan amqp091.Blocking) {
	for change := range changes {
		if change.Active {
			c.blocked.Store(&change.Reason)
		} else {
			c.blocked.Store(nil)
		}
	}
}

func (c *connection) alive() bool { return !c.killed.Load() && !c.amqp.IsClosed() }

// blockedError is not nil while the broker accepts no messages. The broker then does not read from this connection. So
// messages would only wait in buffers, and later arrive twice.
func (c *connection) blockedError() error {
	if reason := c.blocked.Load(); reason != nil {
		return fmt.Errorf("the broker blocks publishers (%s): free memory or disk space there", *reason)
	}
	return nil
}

func (c *connection) frameSize() int { return c.amqp.Config.FrameSize }

// channel returns one of the channels that messages share.
func (c *connection) channel(ctx context.Context) (*channel, error) {
	s := &c.slots[c.next.Add(1)%uint64(len(c.slots))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil && !s.ch.amqp.IsClosed() {
		return s.ch, nil
	}
	ch, err := c.open(ctx)
	if err == nil {
		s.ch = ch
	}
	return ch, err
}

// open opens a channel on which messages are confirmed.
func (c *connection) open(ctx context.Context) (*channel, error) {
	defer c.guard(ctx, c.timeout)()
	ch, err := c.amqp.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	switch {
	case err == nil:
		return newChannel(c, ch), nil
	case ctx.Err() != nil: // which killed the connection
		return nil, ctx.Err()
	}
	return nil, lost(err)
}

// guard kills the connection if ctx or the time limit ends before the caller calls done. The library's calls have
// neither a context nor a time limit.
func (c *connection) guard(ctx context.Context, limit time.Duration) (done func()) {
	timer := time.AfterFunc(limit, c.kill)
	stop := context.AfterFunc(ctx, c.kill)
	return func() {
		timer.Stop()
		stop()
	}
}

// abandon ends the connection after a message was given up, so that the broker does not publish it later. If the
// broker has received the message already, it may still publish it. Then this copy can arrive after a later message of
// its key. abandon keeps a connection that the broker blocks. The next connection would be blocked too, and each of
// them would leave messages behind.
func (c *connection) abandon() {
	if c.blocked.Load() == nil {
		c.kill()
	}
}

// kill closes the connection without connection.close of AMQP. The library notices it.
func (c *connection) kill() {
	c.killed.Store(true)
	c.socket.drop()
}

// close ends the connection and its goroutines. If the broker answers, it uses AMQP's connection.close.
func (c *connection) close() {
	if c.alive() && c.blocked.Load() == nil {
		_ = c.amqp.CloseDeadline(time.Now().Add(closeTimeout)) // it is closed all the same
	}
	c.kill()
}

// socket is a TCP connection on which a write fails when the broker reads nothing for long.
type socket struct {
	net.Conn
	timeout time.Duration
	broken  atomic.Pointer[error] // why nothing more can be read, unless this side closed the connection
}

func (s *socket) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		s.broken.CompareAndSwap(nil, &err)
	}
	return n, err
}

// handshakeError returns what is known about an error of the handshake. The library takes every error after it has sent
// user and password for wrong ones, and every error after that for a vhost that the user may not use. But RabbitMQ
// answers if it denies the vhost. If user or password is wrong, it closes the connection without an answer.
func (s *socket) handshakeError(ctx context.Context, err error) error {
	broken := s.broken.Load()
	switch {
	case broken == nil && ctx.Err() == nil && errors.Is(err, amqp091.ErrCredentials):
		return errLogin // TLS announces its end, and then nothing more is read
	case broken == nil:
		return err
	case errors.Is(err, amqp091.ErrCredentials) && !errors.Is(*broken, os.ErrDeadlineExceeded):
		return errLogin
	case errors.Is(err, amqp091.ErrCredentials), errors.Is(err, amqp091.ErrVhost):
		return fmt.Errorf("the connection broke in the handshake: %w", *broken)
	}
	return err
}

func (s *socket) Write(b []byte) (int, error) {
	if err := s.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
		return 0, err
	}
	return s.Conn.Write(b)
}

// drop closes the connection, and discards what was not sent yet.
func (s *socket) drop() {
	if tcp, ok := s.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // else the kernel goes on sending
	}
	_ = s.Close()
}

// errLogin says that the connection ended without an answer after the broker got user and password.
var errLogin = errors.New("the connection ended after the broker got user and password")

// errNoConnection marks the errors of messages whose connection was lost, or that had none.
var errNoConnection = errors.New("no connection")

// lost returns the error of a library call, with errNoConnection if the connection was lost.
func lost(err error) error {
	var reason *amqp091.Error
	if errors.As(err, &reason) && !(reason.Server && reason.Recover) {
		return fmt.Errorf("%w: %s", errNoConnection, reason.Reason)
	}
	return err
}
