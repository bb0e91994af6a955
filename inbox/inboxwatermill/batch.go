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
	// Worker names this RunBatch among those that consume the topic for the same inbox at the
	// same time, the same again after a restart: by it the next process learns that this one
	// died in a batch, and then runs messages one by one to find the one at fault. Two that
	// share a name take each other's batches for unfinished ones, which makes them slow. Default: the host's name,
	// which in a container is its own; set it where several run on one host, to "worker-1",
	// say.
	Worker string
	// NackDelay is how long a message that cannot be handled, because it has no usable id, is kept before it
	// is returned: the broker may deliver it again at once. Others go on meanwhile, as far as
	// the broker delivers them. Default: 1 s.
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

// RunBatch consumes a topic without a Router: it gathers messages, handles each batch in
// one transaction (Inbox.ProcessBatch), and acknowledges them after its commit; those of a
// batch that failed it returns (Nack). It ends with nil when ctx ends or the subscriber is
// closed, and with an error if it cannot subscribe, or if no message can be handled as things are: the handler
// ends its transaction (inbox.ErrHandlerEndedTx, found out with one message: until the
// handler has brought one to its end there are no batches), tables or rights are missing, or, with
// inbox.Halt, a message failed for good (*inbox.AttemptsError). What it holds then goes
// back. An outage of the database it rides out. The caller closes the subscriber.
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
// tells the topic. Several on one queue need a BatchConfig.Worker each.
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
	// The forwarders end with this context; what they hold then goes back.
	ctx, cancel := context.WithCancel(ctx)
	var forwarders sync.WaitGroup
	defer func() {
		cancel()
		forwarders.Wait()
		b.refused.Wait()
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

	refused sync.WaitGroup // messages that are kept for a while
	passed  bool           // the handler has brought a message to its end
	tried   int            // messages that ended before; all of them without the handler
}

// maxProbation is for a consumer that begins with messages that it has had before, and runs
// no handler at all.
const maxProbation = 256

// size is how many messages the next batch may have. A handler that commits by itself commits the ids
// of its whole batch, and those that it had not come to would be taken for handled: so it is found out with one.
func (b *batches) size() int {
	if b.passed {
		return b.config.Size
	}
	return 1
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

// process handles a batch and answers the broker. An error is about more than one message.
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
			b.refuse(ctx, msg, err)
		default:
			msg.Nack()
		}
	}
	if err == nil || unusable(err) || ctx.Err() != nil {
		return nil
	}
	return err
}

// oneByOne handles messages alone: one that has no id, say, must not keep the others from being
// handled. After an error the rest goes back.
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

// refuse returns a message that cannot be handled after a while, in which others are handled.
func (b *batches) refuse(ctx context.Context, msg *message.Message, err error) {
	b.config.Logger.Error("inboxwatermill: a message cannot be handled, and goes back to the broker", "consumer",
		b.ib.Consumer(),
		"lane", b.lane, "message_id", msg.UUID, "pause", b.config.NackDelay, "error", err)
	b.refused.Go(func() {
		pause := time.NewTimer(b.config.NackDelay)
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		msg.Nack()
	})
}

// unusable tells what ProcessBatch refuses before any SQL.
func unusable(err error) bool {
	var halted *inbox.AttemptsError
	if errors.As(err, &halted) {
		return false
	}
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
