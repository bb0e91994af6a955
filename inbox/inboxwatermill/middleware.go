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
		// Watermill's CQRS marshalers and Postroom write the type there.
		kind:      func(msg *message.Message) string { return msg.Metadata.Get("name") },
		onOutcome: func(*message.Message, inbox.Outcome, error) {},
	}
	for _, opt := range opts {
		opt(c)
	}
	return c
}

// delivery converts msg for the inbox. If the id cannot be used, the position in Kafka becomes the id, and the message
// is parked. Otherwise it would be delivered again forever, and block the messages behind it.
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
		return fmt.Errorf("%w: the message id has %d bytes, at most %d are allowed", inbox.ErrTooLarge, len(id),
			inbox.MaxMessageID)
	case !utf8.ValidString(id), strings.IndexByte(id, 0) >= 0:
		return fmt.Errorf("%w: the message id %q is not UTF-8, or has a NUL", inbox.ErrInvalidText, id)
	}
	return nil
}

// WithID sets the function that returns a message's id. Default: the UUID. Use it for messages that neither Watermill
// nor Postroom has produced. They have no UUID, and the id is in the metadata. For CloudEvents it is source + " " + id.
//
// If the id is empty, or the inbox cannot store it, and the message has a topic and a position (WithPosition), the
// message is parked with its position in Kafka as id: topic/partition@offset. Otherwise each delivery fails with
// inbox.ErrNoID, inbox.ErrTooLarge or inbox.ErrInvalidText.
func WithID(id func(*message.Message) string) Option {
	return func(c *config) { c.id = id }
}

// WithPosition sets the function that returns a message's position in Kafka, or nil if it has none. Inbox.Prune needs
// the positions to know which rows may still be needed. Default: no position. For watermill-kafka use
// watermillkafka.Position.
func WithPosition(position func(*message.Message) *inbox.Position) Option {
	return func(c *config) { c.position = position }
}

// WithTopic sets the function that returns the topic for a parked message. A message without a topic is not parked: if
// its handler fails for good, the router gets an *inbox.AttemptsError, and the message is delivered again. Default: the
// topic of the router's subscription.
func WithTopic(topic func(*message.Message) string) Option {
	return func(c *config) { c.topic = topic }
}

// WithKey sets the function that returns a message's key: any bytes, or "" for no key. While a message is parked, later
// messages of its topic and key are parked behind it. Default: no key, because Watermill has none. Packages
// watermillkafka and watermillamqp have functions for the keys of Kafka and RabbitMQ.
func WithKey(key func(*message.Message) string) Option {
	return func(c *config) { c.key = key }
}

// WithType sets the function that returns a message's type, which operators see if the message is parked. Default: the
// metadata "name", where Watermill's CQRS marshalers write the name of the event.
func WithType(kind func(*message.Message) string) Option {
	return func(c *config) { c.kind = kind }
}

// OnOutcome sets a function that gets the outcome of each delivery, for metrics and logs. It is called after the commit
// and before the acknowledgement. Several goroutines of the router may call it at the same time, and it should be
// quick.
func OnOutcome(f func(msg *message.Message, outcome inbox.Outcome, err error)) Option {
	return func(c *config) { c.onOutcome = f }
}

// Middleware returns a Router middleware that runs handlers through ib, in a transaction of db. Handlers get the
// transaction with Tx or MustTx. Middlewares inside of this one run in the transaction, and again with every attempt.
// So add middlewares that retry, or that measure or limit the time, outside of it.
//
// Inbox.Process repeats a failing handler itself, so Watermill's Retry and PoisonQueue are not needed. A message that
// fails for good is parked in the database and acknowledged. Replay runs it when an operator requests it.
//
// An error of Inbox.Process is returned to the router. The router then does not acknowledge the message (Nack), and the
// broker delivers it again. The subscriber decides whether other messages of the partition wait for it. watermill-kafka
// delivers it again at once, before any other message.
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

// runWith runs h with ctx in the message. Then it restores the message's own context, also after a panic, because a
// transaction that has ended must not stay in the message.
func runWith(ctx context.Context, h message.HandlerFunc, msg *message.Message) ([]*message.Message, error) {
	own := msg.Context()
	msg.SetContext(ctx)
	defer msg.SetContext(own)
	return h(msg)
}

type txKey struct{}

// Tx returns the transaction of the handler, from the message's context. It returns false if the handler runs without
// Middleware.
func Tx(ctx context.Context) (*sql.Tx, bool) {
	tx, ok := ctx.Value(txKey{}).(*sql.Tx)
	return tx, ok
}

// MustTx is Tx for handlers that need the transaction. It panics if the handler runs without Middleware, and then the
// message fails.
func MustTx(ctx context.Context) *sql.Tx {
	tx, ok := Tx(ctx)
	if !ok {
		panic("inboxwatermill: no transaction in the context: add inboxwatermill.Middleware to the router or the " +
			"handler, and use the context of the message")
	}
	return tx
}

// WithTx returns a context with tx for Tx and MustTx. Middleware uses it, and so can tests of handlers.
func WithTx(ctx context.Context, tx *sql.Tx) context.Context {
	return context.WithValue(ctx, txKey{}, tx)
}
