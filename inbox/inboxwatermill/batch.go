package inboxwatermill

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/postroom/postroom/inbox"
)

// BatchHandlerFunc applies the effects of messages, in the order given; none of them was
// applied before. Tx finds the transaction in ctx, and in each message's context.
type BatchHandlerFunc func(ctx context.Context, msgs []*message.Message) error

// BatchConfig says what RunBatch gathers. Its zero value has the defaults.
type BatchConfig struct {
	// Size is how many messages are a batch at the most, up to inbox.MaxBatch. Default: 100.
	Size int
	// Wait is how long a batch that has begun waits for more. Default: 10 ms.
	Wait time.Duration
	// Subscriptions is how often the topic is subscribed to. Default: 1. See RunBatch.
	Subscriptions int
	// Lane names this RunBatch among those that consume the topic for the same inbox at the
	// same time, the same again after a restart: by it the next process learns that this one
	// died in a batch, and then runs messages one by one to find the one at fault. Two that
	// share a name take each other's batches for unfinished ones, which makes them slow. Default: the host's name,
	// which in a container is its own; set it where several run on one host, to "worker-1",
	// say.
	Lane string
}

func (c BatchConfig) withDefaults() (BatchConfig, error) {
	switch {
	case c.Size < 0 || c.Size > inbox.MaxBatch:
		return c, fmt.Errorf("BatchConfig.Size is %d: want 1 to %d, or 0 for 100", c.Size, inbox.MaxBatch)
	case c.Wait < 0:
		return c, fmt.Errorf("BatchConfig.Wait is %s: want 0 or more", c.Wait)
	case c.Subscriptions < 0:
		return c, fmt.Errorf("BatchConfig.Subscriptions is %d: want 1 or more, or 0 for 1", c.Subscriptions)
	}
	if c.Size == 0 {
		c.Size = 100
	}
	if c.Wait == 0 {
		c.Wait = 10 * time.Millisecond
	}
	if c.Subscriptions == 0 {
		c.Subscriptions = 1
	}
	if c.Lane == "" {
		host, err := os.Hostname()
		if err != nil {
			return c, fmt.Errorf("BatchConfig.Lane is empty, and the host has no name: %w", err)
		}
		c.Lane = host
	}
	return c, nil
}

// RunBatch consumes a topic without a Router: it gathers messages, handles each batch in
// one transaction (Inbox.ProcessBatch), and acknowledges them after its commit; those of a
// batch that failed it returns (Nack). It ends with nil when ctx ends or the subscriber is
// closed, and with an error if it cannot subscribe. The caller closes the subscriber.
//
// A batch can only be as large as the number of messages that the subscriber delivers before
// one of them is acknowledged, and no subscriber of Watermill's delivers two of one
// subscription and partition: watermill-amqp holds one message for each Subscribe,
// whatever the prefetch count, and watermill-kafka one for each partition that it was
// assigned. So for RabbitMQ set Subscriptions to the size of a batch: they are competing
// consumers on one connection, and the queue's order is lost among them. With Kafka batches
// are as large as the number of partitions; package inboxkafka fetches whole batches.
//
// Options are Middleware's; the topic, unless WithTopic says otherwise, is the one given
// here. Give watermillkafka.PositionIn(topic) to WithPosition: without a router no context
// tells the topic. Several on one queue need a BatchConfig.Lane each.
func RunBatch(ctx context.Context, ib *inbox.Inbox, db *sql.DB, sub message.Subscriber, topic string, h BatchHandlerFunc, config BatchConfig, opts ...Option) error {
	config, err := config.withDefaults()
	if err != nil {
		return fmt.Errorf("inboxwatermill: %w", err)
	}
	named := WithTopic(func(*message.Message) string { return topic })
	b := &batches{lane: topic + " lane " + config.Lane, ib: ib, db: db, handler: h, config: config, cfg: newConfig(append([]Option{named}, opts...))}
	in := make(chan *message.Message)
	// The forwarders end with this context; what they hold then goes back.
	ctx, cancel := context.WithCancel(ctx)
	var forwarders sync.WaitGroup
	defer func() {
		cancel()
		forwarders.Wait()
	}()
	for range config.Subscriptions {
		messages, err := sub.Subscribe(ctx, topic)
		if err != nil {
			return fmt.Errorf("inboxwatermill: subscribe to %q: %w", topic, err)
		}
		forwarders.Go(func() { forward(ctx, messages, in) })
	}
	go func() {
		forwarders.Wait()
		close(in)
	}()
	for {
		batch := b.gather(in)
		if len(batch) == 0 {
			return nil
		}
		b.process(ctx, batch)
	}
}

func forward(ctx context.Context, from <-chan *message.Message, to chan<- *message.Message) {
	for msg := range from {
		select {
		case to <- msg:
		case <-ctx.Done():
			msg.Nack()
		}
	}
}

// batches is one call of RunBatch.
type batches struct {
	lane    string
	ib      *inbox.Inbox
	db      *sql.DB
	handler BatchHandlerFunc
	config  BatchConfig
	cfg     *config
}

// gather returns the next batch; an empty one: there are no more messages.
func (b *batches) gather(in <-chan *message.Message) (batch []*message.Message) {
	msg, ok := <-in
	if !ok {
		return nil
	}
	batch = append(batch, msg)
	enough := time.NewTimer(b.config.Wait)
	defer enough.Stop()
	for len(batch) < b.config.Size {
		select {
		case msg, ok := <-in:
			if !ok {
				return batch
			}
			batch = append(batch, msg)
		case <-enough.C:
			return batch
		}
	}
	return batch
}

// process handles a batch and answers the broker.
func (b *batches) process(ctx context.Context, batch []*message.Message) {
	deliveries := make([]inbox.Message, len(batch))
	for i, msg := range batch {
		deliveries[i] = b.cfg.delivery(msg)
	}
	outcomes, err := b.ib.ProcessBatch(ctx, b.db, deliveries, b.handle(batch, deliveries), inbox.InLane(b.lane))
	if len(batch) > 1 && unusable(err) {
		// One that has no id, say, must not keep the others from being handled.
		for _, msg := range batch {
			b.process(ctx, []*message.Message{msg})
		}
		return
	}
	for i, msg := range batch {
		if outcomes[i] == inbox.Failed {
			b.cfg.onOutcome(msg, outcomes[i], err)
			msg.Nack()
			continue
		}
		b.cfg.onOutcome(msg, outcomes[i], nil)
		msg.Ack()
	}
}

// unusable tells what ProcessBatch refuses before any SQL.
func unusable(err error) bool {
	for _, refused := range []error{inbox.ErrNoID, inbox.ErrTooLarge, inbox.ErrInvalidText, inbox.ErrInvalidPosition} {
		if errors.Is(err, refused) {
			return true
		}
	}
	return false
}

// handle calls the handler with the messages of the fresh deliveries, of which the first
// of an id counts.
func (b *batches) handle(batch []*message.Message, deliveries []inbox.Message) inbox.BatchHandler {
	byID := make(map[string]*message.Message, len(batch))
	for i := len(batch) - 1; i >= 0; i-- {
		byID[deliveries[i].ID] = batch[i]
	}
	return func(ctx context.Context, tx *sql.Tx, ms []inbox.Message) error {
		ctx = WithTx(ctx, tx)
		fresh := make([]*message.Message, len(ms))
		for i, m := range ms {
			msg := byID[m.ID]
			own := msg.Context()
			msg.SetContext(WithTx(own, tx))
			defer msg.SetContext(own)
			fresh[i] = msg
		}
		return b.handler(ctx, fresh)
	}
}
