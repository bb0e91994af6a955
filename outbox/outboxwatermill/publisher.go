package outboxwatermill

import (
	"context"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/postroom/postroom/outbox"
)

// Publisher writes messages to the outbox in one transaction. Make one per
// transaction; it is as safe for concurrent use as the transaction, and of no use
// once that has ended.
type Publisher struct {
	ob   *outbox.Outbox
	tx   outbox.Tx
	conv converter
}

var _ message.Publisher = (*Publisher)(nil)

// NewPublisher returns a message.Publisher that writes to ob in the transaction tx.
//
//	bus, err := cqrs.NewEventBusWithConfig(outboxwatermill.NewPublisher(ob, tx), config)
//	…
//	err = bus.Publish(ctx, OrderPlaced{…}) // delivered if tx commits
func NewPublisher(ob *outbox.Outbox, tx outbox.Tx, opts ...Option) *Publisher {
	return &Publisher{ob: ob, tx: tx, conv: newConverter(opts)}
}

// Publish writes the messages in the order given, in one statement unless they are too
// many for that; messages are acknowledged by no one. It runs under the context of the
// first message and stops when that of any message ends.
//
// Errors are ErrInvalidID and those of outbox.Outbox's Add: outbox.ErrReservedHeader for
// metadata whose name starts with "_watermill_" or "postroom_" (the relay sets those,
// so a message that came through it cannot be passed on with all of its metadata).
// After either nothing was written and the transaction is usable.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	if len(messages) == 0 {
		return nil
	}
	events, err := p.conv.events(topic, messages)
	if err != nil {
		return err
	}
	ctx, cancel := contextOf(messages)
	defer cancel()
	if err := p.ob.Add(ctx, p.tx, events...); err != nil {
		return fmt.Errorf("outboxwatermill: %w", err)
	}
	return nil
}

// Close does nothing: the transaction is the caller's. The Publisher stays usable.
func (p *Publisher) Close() error { return nil }

// contextOf returns the first message's context, cancelled when another's is.
func contextOf(messages []*message.Message) (context.Context, func()) {
	first := messages[0].Context()
	ctx, cancel := context.WithCancelCause(first)
	stops := []func() bool{}
	for _, msg := range messages[1:] {
		if other := msg.Context(); other != first {
			stops = append(stops, context.AfterFunc(other, func() { cancel(context.Cause(other)) }))
		}
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel(nil)
	}
}
