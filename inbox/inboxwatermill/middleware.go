package inboxwatermill

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/postroom/postroom/inbox"
)

// Option changes a default of Middleware.
type Option func(*config)

type config struct {
	id        func(*message.Message) string
	position  func(*message.Message) *inbox.Position
	topic     func(*message.Message) string
	key       func(*message.Message) string
	kind      func(*message.Message) string
	onOutcome func(*message.Message, inbox.Outcome, error)
}

// newConfig returns the defaults with opts.
func newConfig(opts []Option) *config {
	c := &config{
		id:       func(msg *message.Message) string { return msg.UUID },
		position: func(*message.Message) *inbox.Position { return nil },
		topic:    func(msg *message.Message) string { return message.SubscribeTopicFromCtx(msg.Context()) },
		key:      func(*message.Message) string { return "" },
		// What Watermill's CQRS marshalers write; a message of Postroom's has its type there too.
		kind:      func(msg *message.Message) string { return msg.Metadata.Get("name") },
		onOutcome: func(*message.Message, inbox.Outcome, error) {},
	}
	for _, opt := range opts {
		opt(c)
	}
	return c
}

// delivery is msg as the inbox knows it. One whose id cannot be used is parked under its place in Kafka,
// if that is known: it would be delivered again for ever, and hold up what is behind it.
func (c *config) delivery(msg *message.Message) inbox.Message {
	m := inbox.Message{
		ID: c.id(msg), Position: c.position(msg), Topic: c.topic(msg), Key: c.key(msg), Type: c.kind(msg),
		Headers: msg.Metadata, Payload: msg.Payload,
	}
	if err := checkID(m.ID); err != nil && m.Position != nil {
		m.ID, m.Err = m.Position.String(), err
	}
	return m
}

func checkID(id string) error {
	switch {
	case id == "":
		return inbox.ErrNoID
	case len(id) > inbox.MaxMessageID:
		return fmt.Errorf("%w: message id of %d bytes, at most %d", inbox.ErrTooLarge, len(id), inbox.MaxMessageID)
	case !utf8.ValidString(id), strings.IndexByte(id, 0) >= 0:
		return fmt.Errorf("%w: message id %q is not UTF-8 without NUL", inbox.ErrInvalidText, id)
	}
	return nil
}

// WithID says what a message's id is. Default: its UUID. Use it for messages that
// another program than Watermill or Postroom produced, where the UUID is empty and
// the id stands in the metadata. For CloudEvents it is source + " " + id. A message with an
// id that is empty, or that the inbox cannot store, is parked under its place in Kafka,
// topic/partition@offset, if WithPosition says where that is and it has a topic; elsewhere it fails with
// inbox.ErrNoID, inbox.ErrTooLarge or inbox.ErrInvalidText at each delivery.
func WithID(id func(*message.Message) string) Option {
	return func(c *config) { c.id = id }
}

// WithPosition says where Kafka has a message, so that Inbox.Prune knows which rows
// can still be needed; nil: nowhere. Default: nowhere. For watermill-kafka give it
// watermillkafka.Position.
func WithPosition(position func(*message.Message) *inbox.Position) Option {
	return func(c *config) { c.position = position }
}

// WithTopic says which topic a message is parked under; "": it is not parked, and a
// message whose handler fails for good is returned to the router with an
// *inbox.AttemptsError, and delivered again. Default: the topic that the router
// subscribed to.
func WithTopic(topic func(*message.Message) string) Option {
	return func(c *config) { c.topic = topic }
}

// WithKey says what a message is ordered by: while one is parked, the later ones of its
// topic and key are parked behind it. Any bytes; "": none. Default: none, since
// Watermill has no keys of its own. Packages watermillkafka and watermillamqp have
// functions for Kafka's and RabbitMQ's.
func WithKey(key func(*message.Message) string) Option {
	return func(c *config) { c.key = key }
}

// WithType says what a message's type is, which operators see of a parked one. Default:
// its metadata "name", where Watermill's CQRS marshalers write the name of the event.
func WithType(kind func(*message.Message) string) Option {
	return func(c *config) { c.kind = kind }
}

// OnOutcome is told what became of each delivery, after the commit and before the
// acknowledgement: for metrics and logs. It is called from the router's goroutines,
// several at a time, and should be quick.
func OnOutcome(f func(msg *message.Message, outcome inbox.Outcome, err error)) Option {
	return func(c *config) { c.onOutcome = f }
}

// Middleware returns a Router middleware that runs handlers through ib, in a
// transaction of db, which handlers find with Tx or MustTx. Add it as the innermost
// one that repeats or times: what stands inside it runs in the transaction, and runs
// again with every attempt. Inbox.Process repeats a failing handler itself, so that
// Watermill's Retry and PoisonQueue are not needed beside it: a message that fails for
// good is parked, in the database, and acknowledged. Replay runs it when an operator
// asks for it.
//
// An error of Inbox.Process is returned to the router, which then does not
// acknowledge the message (Nack), so that the broker delivers it again. Whether
// others of its partition wait for it is the subscriber's affair; watermill-kafka
// delivers it again at once, before any other.
func Middleware(ib *inbox.Inbox, db *sql.DB, opts ...Option) message.HandlerMiddleware {
	cfg := newConfig(opts)
	return func(h message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			var produced []*message.Message
			ctx := msg.Context()
			outcome, err := ib.Process(ctx, db, cfg.delivery(msg), func(ctx context.Context, tx *sql.Tx) (err error) {
				produced, err = runWith(WithTx(ctx, tx), h, msg)
				return err
			})
			cfg.onOutcome(msg, outcome, err)
			if outcome != inbox.Applied {
				// A handler may have run in a transaction that was rolled back.
				return nil, err
			}
			return produced, err
		}
	}
}

// runWith runs h with ctx in the message, and puts the message's own back, panic or not:
// a transaction that has ended must not stay in it.
func runWith(ctx context.Context, h message.HandlerFunc, msg *message.Message) ([]*message.Message, error) {
	own := msg.Context()
	msg.SetContext(ctx)
	defer msg.SetContext(own)
	return h(msg)
}

type txKey struct{}

// Tx returns the transaction that the handler runs in, from the message's context.
// False: no Middleware runs it.
func Tx(ctx context.Context) (*sql.Tx, bool) {
	tx, ok := ctx.Value(txKey{}).(*sql.Tx)
	return tx, ok
}

// MustTx is Tx for handlers that cannot do without: it panics, which fails the
// message, where no Middleware runs the handler.
func MustTx(ctx context.Context) *sql.Tx {
	tx, ok := Tx(ctx)
	if !ok {
		panic("inboxwatermill: no transaction in the context: add inboxwatermill.Middleware to the router or the " +
			"handler, and use the context of the message")
	}
	return tx
}

// WithTx returns a context in which Tx finds tx, as Middleware makes it: for tests
// of handlers.
func WithTx(ctx context.Context, tx *sql.Tx) context.Context {
	return context.WithValue(ctx, txKey{}, tx)
}
