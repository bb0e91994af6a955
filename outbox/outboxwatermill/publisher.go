package outboxwatermill

import (
	"context"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/postroom/postroom/outbox"
)

// Publisher writes messages to the outbox in one transaction. Make one for each
// transaction. It is as safe for concurrent use as the transaction, and cannot be used
// after the transaction has ended.
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

// Publish writes the messages in the order given, in one statement unless there are too
// many. Nobody acknowledges the messages. Publish uses the context of the first message,
// and stops when the context of any message ends.
//
// Errors are ErrInvalidID and those of outbox.Outbox's Add. Add returns
// outbox.ErrReservedHeader for metadata whose name starts with "_watermill_" or
// "postroom_". The relay sets those, so a message that came through the relay cannot be
// published again with all of its metadata. After both errors nothing was written, and
// the transaction is usable.
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

// contextOf returns the first message's context. It is cancelled when another message's is.
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
