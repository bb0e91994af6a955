package inboxwatermill

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/postroom/postroom/inbox"
)

// BatchHandlerFunc applies the effects of messages, in the given order. None of them was applied before. Tx returns the
// transaction from ctx, and from each message's context.
type BatchHandlerFunc func(ctx context.Context, msgs []*message.Message) error

// BatchConfig configures RunBatch. The zero value has the defaults.
type BatchConfig struct {
	// Size is the largest number of messages in a batch, up to inbox.MaxBatch. Default: 100.
	Size int
	// Wait is how long RunBatch waits for more messages after the first one of a batch. Default: 10 ms.
	Wait time.Duration
	// Subscriptions is the number of subscriptions to the topic. Default: 1. See RunBatch.
	Subscriptions int
	// Worker is a name for this RunBatch. Of all that consume the topic for the same inbox at the same time, each needs
	// its own name, and the same name after a restart. If a process dies in a batch, the next process with this name
	// notices it, and runs the messages one by one to find the message at fault. Two with one name would take each
	// other's batches for unfinished ones, and be slow. Default: the host's name. A container has its own host name; if
	// several run on one host, use names such as "worker-1".
	Worker string
	// NackDelay is how long a message without a usable id is kept before it is returned (Nack), because the broker may
	// deliver it again at once. Other messages are handled meanwhile, if the broker delivers them. Default: 1 s.
	NackDelay time.Duration
	// Logger gets a line for each delivery of such a message. Default: slog.Default().
	Logger *slog.Logger
}

func (c BatchConfig) withDefaults() (BatchConfig, error) {
	switch {
	case c.Size < 0 || c.Size > inbox.MaxBatch:
		return c, fmt.Errorf("BatchConfig.Size is %d: want 1 to %d, or 0 for 100", c.Size, inbox.MaxBatch)
	case c.Wait < 0:
		return c, fmt.Errorf("BatchConfig.Wait is %s: want 0 or more", c.Wait)
	case c.NackDelay < 0:
		return c, fmt.Errorf("BatchConfig.NackDelay is %s: want 0 or more", c.NackDelay)
	case c.Subscriptions < 0:
		return c, fmt.Errorf("BatchConfig.Subscriptions is %d: want 1 or more, or 0 for 1", c.Subscriptions)
	}
	if c.NackDelay == 0 {
		c.NackDelay = time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
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
	if c.Worker == "" {
		host, err := os.Hostname()
		if err != nil {
			return c, fmt.Errorf("BatchConfig.Worker is empty, and the host has no name: %w", err)
		}
		c.Worker = host
	}
	return c, nil
}

// RunBatch consumes a topic without a Router. It collects messages, handles each batch in one transaction
// (Inbox.ProcessBatch), and acknowledges the messages after the commit. It returns the messages of a failed batch to
// the broker (Nack).
//
// RunBatch returns nil when ctx ends or the subscriber is closed. It returns an error if it cannot subscribe, or if no
// message can be handled:
//
//   - The handler ends its transaction (inbox.ErrHandlerEndedTx). To notice this, RunBatch runs messages one by one
//     until the handler has handled one.
//   - Tables or rights are missing.
//   - With inbox.Halt, a message failed for good (*inbox.AttemptsError).
//
// Then the messages that are not handled go back to the broker. During an outage of the database RunBatch waits and
// tries again. The caller closes the subscriber.
//
// A batch cannot have more messages than the subscriber delivers before one of them is acknowledged. Watermill's
// subscribers deliver one message for each subscription and partition: watermill-amqp one for each Subscribe, whatever
// the prefetch count, and watermill-kafka one for each assigned partition. So for RabbitMQ set Subscriptions to the
// size of a batch. They are competing consumers on one connection, so the order of the queue is lost. With Kafka, a
// batch has as many messages as there are partitions; package inboxkafka fetches whole batches.
//
// The options are those of Middleware. The default for WithTopic is topic. For WithPosition use
// watermillkafka.PositionIn(topic), because without a router the context has no topic. If several RunBatch consume one
// queue, each needs its own BatchConfig.Worker.
func RunBatch(ctx context.Context, ib *inbox.Inbox, db *sql.DB, sub message.Subscriber, topic string,
	h BatchHandlerFunc, config BatchConfig, opts ...Option) error {
	config, err := config.withDefaults()
	if err != nil {
		return fmt.Errorf("inboxwatermill: %w", err)
	}
	named := WithTopic(func(*message.Message) string { return topic })
	b := &batches{lane: topic + " lane " + config.Worker, ib: ib, db: db, handler: h, config: config,
		cfg: newConfig(append([]Option{named}, opts...))}
	in := make(chan *message.Message)
	// The forwarders end with this context, and return their messages to the broker.
	ctx, cancel := context.WithCancel(ctx)
	var forwarders sync.WaitGroup
	defer func() {
		cancel()
		forwarders.Wait()
		b.rejected.Wait()
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
		if err := b.process(ctx, batch); err != nil {
			return fmt.Errorf("inboxwatermill: consume %q: %w", topic, err)
		}
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

	rejected sync.WaitGroup // messages that are kept until NackDelay has passed
	passed   bool           // the handler has handled a message
	tried    int            // messages before the first one that was applied
}

// maxProbation ends the probation of a consumer that begins with many duplicates, for which no handler runs.
const maxProbation = 256

// size returns how many messages the next batch may have. A handler that commits by itself would commit the ids of its
// whole batch, and then the messages that it has not handled yet would count as handled. With one message such a
// handler is found without harm.
func (b *batches) size() int {
	if b.passed {
		return b.config.Size
	}
	return 1
}

// gather returns the next batch. It is empty if there are no more messages.
func (b *batches) gather(in <-chan *message.Message) (batch []*message.Message) {
	msg, ok := <-in
	if !ok {
		return nil
	}
	batch = append(batch, msg)
	enough := time.NewTimer(b.config.Wait)
	defer enough.Stop()
	for len(batch) < b.size() {
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

// process handles a batch, and acknowledges or returns its messages. It returns an error that ends RunBatch.
func (b *batches) process(ctx context.Context, batch []*message.Message) error {
	deliveries := make([]inbox.Message, len(batch))
	for i, msg := range batch {
		deliveries[i] = b.cfg.delivery(msg)
	}
	outcomes, err := b.ib.ProcessBatch(ctx, b.db, deliveries, b.handle(batch, deliveries), inbox.WithStream(b.lane))
	if len(batch) > 1 && unusable(err) {
		return b.oneByOne(ctx, batch)
	}
	for i, msg := range batch {
		var failed error
		if outcomes[i] == inbox.Failed {
			failed = err
		}
		b.cfg.onOutcome(msg, outcomes[i], failed)
		switch {
		case outcomes[i] != inbox.Failed:
			msg.Ack()
			b.tried++
			b.passed = b.passed || outcomes[i] == inbox.Applied || b.tried >= maxProbation
		case unusable(err):
			b.reject(ctx, msg, err)
		default:
			msg.Nack()
		}
	}
	if err == nil || unusable(err) || ctx.Err() != nil {
		return nil
	}
	return err
}

// oneByOne handles messages alone, so that for example a message without an id does not stop the others. After an error
// the other messages go back to the broker.
func (b *batches) oneByOne(ctx context.Context, batch []*message.Message) (err error) {
	for _, msg := range batch {
		if err != nil {
			msg.Nack()
			continue
		}
		err = b.process(ctx, []*message.Message{msg})
	}
	return err
}

// reject returns a message that cannot be handled to the broker, after NackDelay. Other messages are handled meanwhile.
func (b *batches) reject(ctx context.Context, msg *message.Message, err error) {
	b.config.Logger.Error("inboxwatermill: a message cannot be handled, and goes back to the broker", "consumer",
		b.ib.Consumer(),
		"lane", b.lane, "message_id", msg.UUID, "pause", b.config.NackDelay, "error", err)
	b.rejected.Go(func() {
		pause := time.NewTimer(b.config.NackDelay)
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		msg.Nack()
	})
}

// unusable reports whether ProcessBatch rejected a message before any SQL.
func unusable(err error) bool {
	var halted *inbox.AttemptsError
	if errors.As(err, &halted) {
		return false
	}
	for _, invalid := range []error{inbox.ErrNoID, inbox.ErrTooLarge, inbox.ErrInvalidText, inbox.ErrInvalidPosition} {
		if errors.Is(err, invalid) {
			return true
		}
	}
	return false
}

// handle returns a handler for the inbox that calls the user's handler with the fresh messages. If several messages
// have the same id, the first one counts.
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
