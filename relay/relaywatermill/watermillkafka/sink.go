package watermillkafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/postroom/postroom/relay/relaywatermill"
)

// NewPublisher returns a stock watermill-kafka publisher with settings that are fit for the
// relay. It connects: the error names the brokers, or the field that is wrong. The
// caller closes it.
func NewPublisher(cfg Config) (*kafka.Publisher, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	config, err := cfg.saramaConfig()
	if err != nil {
		return nil, err
	}
	publisher, err := kafka.NewPublisher(kafka.PublisherConfig{
		Brokers: cfg.Brokers, Marshaler: Marshaler{Key: cfg.Key}, OverwriteSaramaConfig: config,
	}, cfg.Logger)
	if err != nil {
		return nil, unreachable(cfg, err)
	}
	return publisher, nil
}

func unreachable(cfg Config, err error) error {
	return fmt.Errorf("kafka at %s cannot be used: %w; check that the broker is up, the address and the port, and whether the listener wants TLS or SASL",
		strings.Join(cfg.Brokers, ", "), err)
}

// Sink is a relaywatermill.Sink with a publisher of its own. Close it after the relay has
// stopped.
type Sink struct {
	*relaywatermill.Sink
	publisher *kafka.Publisher
}

// New makes a publisher with NewPublisher, and a sink on it.
func New(cfg Config) (*Sink, error) {
	cfg = cfg.withDefaults()
	publisher, err := NewPublisher(cfg)
	if err != nil {
		return nil, err
	}
	judge := &judge{unknownAfter: cfg.UnknownTopicAfter}
	sink, err := relaywatermill.New(watched{publisher, judge}, relaywatermill.Options{
		Lanes: cfg.Lanes, Buffer: cfg.Buffer, Rejected: judge.rejected, Check: cfg.check,
	})
	if err != nil {
		return nil, errors.Join(err, publisher.Close())
	}
	return &Sink{Sink: sink, publisher: publisher}, nil
}

// Close closes the publisher, which waits for messages under way.
func (s *Sink) Close() error { return s.publisher.Close() }

// check connects anew. sarama knows no contexts: when ctx ends first, the attempt is left to
// its own time limits.
func (c Config) check(ctx context.Context) error {
	config, err := c.saramaConfig()
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		client, err := sarama.NewClient(c.Brokers, config)
		if err == nil {
			err = client.Close()
		}
		done <- err
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return unreachable(c, err)
	}
	return nil
}

// watched tells the judge of topics that take messages.
type watched struct {
	message.Publisher
	judge *judge
}

func (w watched) Publish(topic string, messages ...*message.Message) error {
	err := w.Publisher.Publish(topic, messages...)
	if err == nil && w.judge.suspects.Load() {
		w.judge.clear(topic)
	}
	return err
}

// judge tells rejections from outages.
type judge struct {
	unknownAfter time.Duration
	suspects     atomic.Bool // whether unknown has had entries

	mu      sync.Mutex
	unknown map[string]denial
}

func (j *judge) clear(topic string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.unknown, topic)
}

type denial struct{ first, last time.Time }

// denialsApart is how far apart two denials of a topic may be and still count as one that
// lasts. The relay comes back with the record after each outage, but sarama asks the broker
// only every 10 s, once it was denied a few times.
const denialsApart = 30 * time.Second

// rejected knows what brokers refuse for good. A topic that is denied is refused only when
// it has been denied again and again for unknownAfter.
func (j *judge) rejected(topic string, err error) bool {
	var tooLarge sarama.ConfigurationError // of Producer.MaxMessageBytes; Publish has no other
	if errors.As(err, &tooLarge) {
		return true
	}
	for _, refusal := range []error{
		sarama.ErrMessageSizeTooLarge, sarama.ErrMessageSetSizeTooLarge, sarama.ErrInvalidRecord,
		sarama.ErrInvalidTopic, sarama.ErrTopicAuthorizationFailed, sarama.ErrPolicyViolation,
	} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return errors.Is(err, sarama.ErrUnknownTopicOrPartition) && j.deniedLongEnough(topic, time.Now())
}

func (j *judge) deniedLongEnough(topic string, now time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	known, ok := j.unknown[topic]
	if !ok || now.Sub(known.last) > max(denialsApart, j.unknownAfter) {
		known.first = now
	}
	known.last = now
	if j.unknown == nil {
		j.unknown = make(map[string]denial)
		j.suspects.Store(true)
	}
	j.unknown[topic] = known
	return now.Sub(known.first) >= j.unknownAfter
}
