package relaykafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/relay"
)

// PublisherOptions say how a Publisher turns messages into records. The zero value of each field is its
// default.
type PublisherOptions struct {
	// Key returns the Kafka key of a message; "" means none. Messages with the same key
	// stay in order. Default nil: no message has a key.
	Key func(topic string, msg *message.Message) string

	// Timeout bounds each Publish, and how long Close waits for messages that are being sent. A message whose
	// Publish timed out may still be delivered. Default 30 s. If it is negative, only the messages' contexts
	// bound Publish.
	Timeout time.Duration
}

// Publisher is a Watermill message.Publisher on top of this package's producer: acks=all, idempotent,
// murmur2. Its records have the format of watermill-kafka's DefaultMarshaler, with the headers sorted by
// name, so every watermill-kafka subscriber can read them.
//
// It writes to Kafka at once, without an outbox: use it where nothing else has to commit
// together with the message. It is safe for concurrent use.
type Publisher struct {
	cfg     Config
	options PublisherOptions
	client  *kgo.Client
	topics  sync.Map // names of topics known to exist

	mu     sync.RWMutex // read-locked while records are handed over, so that Close waits for that
	closed bool
	life   context.Context
	end    context.CancelFunc
}

var _ message.Publisher = (*Publisher)(nil)

// ErrPublisherClosed is returned by Publish after Close.
var ErrPublisherClosed = errors.New("the Kafka publisher is closed")

// NewPublisher checks cfg and returns a Publisher. It connects when the first message
// is published.
func NewPublisher(cfg Config, options PublisherOptions) (*Publisher, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if options.Timeout == 0 {
		options.Timeout = 30 * time.Second
	}
	client, err := newClient(cfg)
	if err != nil {
		return nil, err
	}
	p := &Publisher{cfg: cfg, options: options, client: client}
	p.life, p.end = context.WithCancel(context.Background())
	return p, nil
}

// Publish sends the messages and returns when Kafka has all of them, or returns the first message's error. It
// waits until the context of the first message ends at the latest. After an error, messages behind the failed
// one may have been published too.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	if len(messages) == 0 {
		return nil
	}
	records := make([]*kgo.Record, len(messages))
	for i, msg := range messages {
		r, err := p.record(topic, msg)
		if err != nil {
			return err
		}
		records[i] = r
	}
	ctx, cancel := p.bound(messages[0].Context())
	defer cancel()
	if err := p.awaitTopic(ctx, topic); err != nil {
		return err
	}
	return p.produce(ctx, messages, records)
}

// bound returns a context that ends with parent, with Close and with the timeout.
func (p *Publisher) bound(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	stop := context.AfterFunc(p.life, func() { cancel(ErrPublisherClosed) })
	release := func() { stop(); cancel(nil) }
	if p.options.Timeout < 0 {
		return ctx, release
	}
	ctx, expire := context.WithTimeout(ctx, p.options.Timeout)
	return ctx, func() { expire(); release() }
}

func (p *Publisher) produce(ctx context.Context, messages []*message.Message, records []*kgo.Record) error {
	type answer struct {
		index int
		err   error
	}
	answers := make(chan answer, len(records))
	if err := p.whileOpen(func() {
		for i, r := range records {
			// The record does not get ctx: when a record's context ends, kgo fails every record that is
			// buffered for the partition, including those of other callers.
			p.client.Produce(context.Background(), r, func(_ *kgo.Record, err error) { answers <- answer{i, err} })
		}
	}); err != nil {
		return err
	}
	for range records {
		select {
		case a := <-answers:
			if a.err != nil {
				return fmt.Errorf(
					"message %s for topic %s was not published: %w", messages[a.index].UUID, records[a.index].Topic,
					a.err,
				)
			}
		case <-ctx.Done():
			return fmt.Errorf("kafka has not acknowledged %d messages for topic %s: %w; they may still be published",
				len(records), records[0].Topic, context.Cause(ctx))
		}
	}
	return nil
}

// whileOpen runs fn unless the publisher is closed.
func (p *Publisher) whileOpen(fn func()) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return ErrPublisherClosed
	}
	fn()
	return nil
}

// record makes the Kafka record of a message.
func (p *Publisher) record(topic string, msg *message.Message) (*kgo.Record, error) {
	if msg.Metadata.Get(relay.HeaderMessageUUID) != "" {
		return nil, fmt.Errorf("message %s for topic %s has the metadata %s, which is reserved for the message's UUID",
			msg.UUID, topic, relay.HeaderMessageUUID)
	}
	headers := make([]kgo.RecordHeader, 0, len(msg.Metadata)+1)
	headers = append(headers, kgo.RecordHeader{Key: relay.HeaderMessageUUID, Value: []byte(msg.UUID)})
	for name, value := range msg.Metadata {
		headers = append(headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	slices.SortFunc(headers, func(a, b kgo.RecordHeader) int { return strings.Compare(a.Key, b.Key) })
	r := &kgo.Record{Topic: topic, Value: msg.Payload, Headers: headers}
	if p.options.Key != nil {
		if key := p.options.Key(topic, msg); key != "" {
			r.Key = []byte(key)
		}
	}
	return r, nil
}

// awaitTopic returns when the topic is known to exist. kgo itself would wait without a limit.
func (p *Publisher) awaitTopic(ctx context.Context, topic string) error {
	if _, ok := p.topics.Load(topic); ok {
		return nil
	}
	deniedSince := time.Time{}
	for {
		answers, err := askTopics(ctx, p.client, false, topic)
		switch answer := answers[topic].err; {
		case ctx.Err() != nil && !deniedSince.IsZero():
			return fmt.Errorf(
				"topic %s does not exist: create it, or set Config.CreateTopics: %w", topic, context.Cause(ctx),
			)
		case ctx.Err() != nil:
			return fmt.Errorf(
				"kafka at %s does not say whether topic %s exists: %w", strings.Join(p.cfg.Brokers, ", "), topic,
				context.Cause(ctx),
			)
		case err != nil:
			deniedSince = time.Time{}
		case !unknown(answer): // any other error comes back with the record
			p.topics.Store(topic, nil)
			return nil
		case p.cfg.CreateTopics:
			if err := createTopic(ctx, p.client, p.cfg, topic); createRejected(err) {
				return fmt.Errorf("topic %s does not exist, and cannot be created: %w; create it by hand", topic, err)
			}
		case deniedSince.IsZero():
			deniedSince = time.Now()
		case time.Since(deniedSince) >= p.cfg.UnknownTopicAfter:
			return fmt.Errorf("topic %s does not exist: create it, or set Config.CreateTopics", topic)
		}
		pause := time.NewTimer(min(250*time.Millisecond, p.cfg.UnknownTopicAfter/4))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

// Close waits for messages that are being sent, for PublisherOptions.Timeout at the longest, and then closes
// the connections. Later calls do nothing.
func (p *Publisher) Close() error {
	p.mu.Lock()
	already := p.closed
	p.closed = true
	p.mu.Unlock()
	if already {
		return nil
	}
	defer p.client.Close()
	defer p.end()
	ctx := context.Background()
	if p.options.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.options.Timeout)
		defer cancel()
	}
	if err := p.client.Flush(ctx); err != nil {
		return fmt.Errorf(
			"%d messages were still unacknowledged when the Kafka publisher closed: %w",
			p.client.BufferedProduceRecords(), err,
		)
	}
	return nil
}
