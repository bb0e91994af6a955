package watermillamqp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaywatermill"
)

// errRejected marks errors of Publish that concern the message alone.
var errRejected = errors.New("RabbitMQ does not take it")

// publisher is a message.Publisher whose Publish returns nil only when the broker has confirmed the
// message and has not returned it.
//
// The messages share a few channels (hazard channel-closed-for-one). If the broker cannot accept a message, for
// example because its exchange does not exist, it closes the channel, and does not say which message was wrong. Then
// all messages without a confirm are published again, each on a channel of its own. If that channel is closed too, its
// message is wrong. So a wrong message delays its neighbours, but only the wrong one is rejected. A neighbour may
// arrive twice. Its second copy never comes after a later message of its key, because that one is published after the
// confirm.
type publisher struct {
	cfg       Config
	address   string
	marshaler amqp.Marshaler

	life context.Context // ends with Close
	end  context.CancelFunc

	mu      sync.Mutex
	conn    *connection
	dialing *dialing
	running sync.WaitGroup // of connect

	suspects sync.Map      // exchanges whose last message was rejected: a channel is not risked for the next one
	alone    chan struct{} // bounds the channels of single messages
}

var (
	_ message.Publisher = (*publisher)(nil)
	_ relay.OutageError = (*outage)(nil)
)

// dialing is an attempt to connect. All callers that need a connection share it.
type dialing struct {
	done chan struct{}
	conn *connection
	err  error
}

func newPublisher(cfg Config) *publisher {
	p := &publisher{cfg: cfg, marshaler: amqp.DefaultMarshaler{}, alone: make(chan struct{}, maxAlone)}
	p.address, _ = Address(cfg.URL) // which validate has read
	p.life, p.end = context.WithCancel(context.Background())
	return p
}

// maxAlone is the largest number of channels for single messages.
const maxAlone = 16

// Publish implements message.Publisher. The error is an outage unless it wraps errRejected.
func (p *publisher) Publish(topic string, messages ...*message.Message) error {
	for _, msg := range messages {
		out, err := p.toOutgoing(topic, msg)
		if err != nil {
			return fmt.Errorf("%w: %w", errRejected, err)
		}
		switch err := p.publish(msg.Context(), out); {
		case errors.Is(err, errRejected): // without the address: lists show only the beginning of a reason
			return err
		case err != nil:
			return &outage{p.address, err}
		}
	}
	return nil
}

// outage is an error whose cause is not the message.
type outage struct {
	address string
	err     error
}

func (o *outage) Error() string { return fmt.Sprintf("RabbitMQ at %s: %v", o.address, o.err) }

func (o *outage) Unwrap() error { return o.err }

// OutageCause implements relay.OutageError. Each message reports a lost connection with its own error and topic. The
// cause is the same for all of them, so that the relay logs one outage.
func (o *outage) OutageCause() string {
	if errors.Is(o.err, errNoConnection) {
		return errNoConnection.Error()
	}
	return o.err.Error()
}

func (p *publisher) publish(ctx context.Context, out *outgoing) error {
	conn, err := p.connection(ctx)
	if err != nil {
		return err
	}
	if err := out.checkHeader(conn.frameSize()); err != nil {
		return fmt.Errorf("%w: %w", errRejected, err)
	}
	if _, suspect := p.suspects.Load(out.exchange); suspect {
		return p.publishAlone(ctx, conn, out)
	}
	ch, err := conn.channel(ctx)
	if err != nil {
		return err
	}
	err = ch.publish(ctx, out)
	var closed *channelClosedError
	if errors.As(err, &closed) { // by this message or by another one
		return p.publishAlone(ctx, conn, out)
	}
	return err
}

// publishAlone publishes a message on a channel of its own. If the broker closes the channel, the message
// is the cause.
func (p *publisher) publishAlone(ctx context.Context, conn *connection, out *outgoing) error {
	select {
	case p.alone <- struct{}{}:
		defer func() { <-p.alone }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ch, err := conn.open(ctx)
	if err != nil {
		return err
	}
	err = ch.publish(ctx, out)
	var closed *channelClosedError
	if errors.As(err, &closed) {
		p.suspects.Store(out.exchange, struct{}{})
		return fmt.Errorf("%w: %s%s", errRejected, closed.reason.Reason, hint(closed.reason))
	}
	if err == nil {
		p.suspects.Delete(out.exchange)
	}
	ch.close()
	return err
}

// hint says what an operator can do about a message that the broker does not accept.
func hint(reason *amqp091.Error) string {
	switch reason.Code {
	case amqp091.NotFound:
		return "; declare the exchange, and bind a queue to it"
	case amqp091.AccessRefused:
		return "; give the relay's user the permission to write to the exchange (rabbitmqctl set_permissions)"
	case amqp091.PreconditionFailed:
		if !strings.Contains(reason.Reason, "size") {
			return ""
		}
		return "; if the message is too large, raise max_message_size in the broker's configuration"
	}
	return ""
}

// connection returns the connection, and makes one if there is none.
func (p *publisher) connection(ctx context.Context) (*connection, error) {
	p.mu.Lock()
	if p.life.Err() != nil {
		p.mu.Unlock()
		return nil, errors.New("the sink is closed")
	}
	if p.conn != nil && p.conn.alive() {
		defer p.mu.Unlock()
		return p.conn, p.conn.blockedError()
	}
	d := p.dialing
	if d == nil {
		d = &dialing{done: make(chan struct{})}
		p.dialing = d
		p.running.Go(func() { p.connect(d) })
	}
	p.mu.Unlock()
	select {
	case <-d.done:
		return d.conn, d.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *publisher) connect(d *dialing) {
	conn, err := dial(p.life, p.cfg)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialing = nil
	if err == nil && p.life.Err() != nil {
		conn.close()
		err = p.life.Err()
	}
	if err == nil {
		p.conn, d.conn = conn, conn
	}
	if err != nil {
		d.err = fmt.Errorf("%w: %w", errNoConnection, err)
	}
	close(d.done)
}

func (p *publisher) check(ctx context.Context) error {
	err := p.ask(ctx)
	if err == nil {
		return nil
	}
	todo := "check the address, that the broker is up, and whether its port wants TLS"
	var answer *amqp091.Error
	switch {
	case errors.Is(err, errLogin):
		todo = "check user and password in the URL; if they are right, look into the broker's log"
	case errors.Is(err, amqp091.ErrVhost), errors.As(err, &answer) && answer.Server:
		todo = "check the vhost in the URL, and the user's permissions in it (rabbitmqctl list_permissions)"
	}
	return fmt.Errorf("RabbitMQ at %s cannot be used: %w; %s", p.address, err, todo)
}

func (p *publisher) ask(ctx context.Context) error {
	conn, err := p.connection(ctx)
	if err != nil {
		return err
	}
	ch, err := conn.open(ctx)
	if err != nil {
		return err
	}
	defer ch.close()
	// Hazard blocked-connection. In a memory or disk alarm RabbitMQ blocks a connection only after the client has
	// published something, and answers everything else. A relay that cannot deliver must not hand over to another relay
	// that cannot deliver either. So a check publishes too: to the exchange without a name, with a key that is the name
	// of no queue. Any answer is good.
	id := uuid.NewString()
	err = ch.publish(ctx, &outgoing{key: "postroom-check-" + id, Publishing: amqp091.Publishing{MessageId: id}})
	var closed *channelClosedError // without the right to write to this exchange
	if errors.Is(err, errRejected) || errors.As(err, &closed) {
		return nil
	}
	if blocked := conn.blockedError(); blocked != nil {
		return blocked
	}
	return err
}

func (p *publisher) hasExchange(ctx context.Context, name string) (bool, error) {
	if checkNames(name, nil) != nil {
		return false, nil
	}
	conn, err := p.connection(ctx)
	if err != nil {
		return false, err
	}
	ch, err := conn.open(ctx)
	if err != nil {
		return false, err
	}
	defer ch.close()
	done := conn.guard(ctx, conn.timeout)
	err = ch.amqp.ExchangeDeclarePassive(name, "", false, false, false, false, nil)
	done()
	var answer *amqp091.Error
	switch {
	case errors.As(err, &answer) && answer.Code == amqp091.NotFound:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("RabbitMQ at %s: look for exchange %s: %w", p.address, name, err)
	}
	return true, nil
}

// Close closes the connection. Messages that are being published fail.
func (p *publisher) Close() error {
	p.mu.Lock()
	p.end()
	conn := p.conn
	p.mu.Unlock()
	p.running.Wait()
	if conn != nil {
		conn.close()
	}
	return nil
}

// outgoing is a message with its address.
type outgoing struct {
	exchange, key string
	amqp091.Publishing
}

func (p *publisher) toOutgoing(topic string, msg *message.Message) (*outgoing, error) {
	key, _ := relaywatermill.KeyFromContext(msg.Context())
	if err := checkNames(topic, key); err != nil {
		return nil, err
	}
	publishing, err := p.marshaler.Marshal(msg)
	if err != nil {
		return nil, err
	}
	publishing.MessageId = msg.UUID // by which a returned message is found
	for _, name := range []string{"CC", "BCC"} {
		if _, is := publishing.Headers[name]; is {
			return nil, fmt.Errorf("the event has a header %s, which RabbitMQ reads as a list of routing keys: "+
				"give the header another name", name)
		}
	}
	for name := range publishing.Headers {
		if len(name) > maxShortString {
			return nil, fmt.Errorf("the header %.40s… has a name of %d bytes, and AMQP's headers have at most %d",
				name, len(name), maxShortString)
		}
	}
	return &outgoing{exchange: topic, key: string(key), Publishing: publishing}, nil
}

// checkHeader returns an error if the headers do not fit into one frame. AMQP does not split them, and the broker would
// close the connection at each attempt.
func (o *outgoing) checkHeader(frame int) error {
	const (
		rest  = 128 // the frame's own bytes, the lengths of the properties, and the delivery mode
		field = 6   // the lengths of a name and a value, and its type
	)
	size := rest + len(o.MessageId)
	for name, value := range o.Headers {
		text, _ := value.(string)
		size += field + len(name) + len(text)
	}
	if frame > 0 && size > frame {
		return fmt.Errorf("the event's headers have %d bytes, and the broker's frames have at most %d: raise "+
			"frame_max in the broker's configuration", size, frame)
	}
	return nil
}
