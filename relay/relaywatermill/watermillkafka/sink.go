package watermillkafka

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"

	"github.com/postroom/postroom/relay/relaywatermill"
)

// NewPublisher returns a stock watermill-kafka publisher with settings for the relay. It connects. The error
// names the brokers, or the invalid field. The caller closes the publisher.
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
	return fmt.Errorf("kafka at %s cannot be used: %w; check that the broker is up, the address and the port, and "+
		"whether the listener wants TLS or SASL",
		strings.Join(cfg.Brokers, ", "), err)
}

// Sink is a relaywatermill.Sink with a publisher of its own. Close it after the relay has
// stopped.
type Sink struct {
	*relaywatermill.Sink
	publisher *kafka.Publisher
	limits    *limits
}

// New makes a publisher with NewPublisher, and a sink on it.
func New(cfg Config) (*Sink, error) {
	cfg = cfg.withDefaults()
	publisher, err := NewPublisher(cfg)
	if err != nil {
		return nil, err
	}
	classifier := &classifier{unknownAfter: cfg.UnknownTopicAfter}
	limits := newLimits(cfg.askLimits, cfg.Key != nil)
	sink, err := relaywatermill.New(watched{publisher, classifier}, relaywatermill.Options{
		Lanes: cfg.Lanes, Buffer: cfg.Buffer,
		Rejected: classifier.rejected, Validate: limits.Validate, Check: cfg.check,
	})
	if err != nil {
		return nil, errors.Join(err, publisher.Close())
	}
	return &Sink{Sink: sink, publisher: publisher, limits: limits}, nil
}

// Close closes the publisher, which waits for messages that are being sent.
func (s *Sink) Close() error {
	s.limits.close()
	return s.publisher.Close()
}

// check connects again. sarama does not use contexts: if ctx ends first, the attempt goes on until its own
// time limits.
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
