package watermillamqp

import (
	"context"
	"errors"
	"fmt"

	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaywatermill"
)

// Sink is a relaywatermill.Sink with a publisher of its own. Make it with New, and close it after
// the relay has stopped. It is safe for concurrent use. Use one Sink for one source only: if a message is
// given up, the connection ends, and the messages of all sources that share the Sink fail.
type Sink struct {
	*relaywatermill.Sink
	publisher *publisher
}

var _ relay.Sink = (*Sink)(nil)

// New returns a sink. It does not connect: Check does, or the first event. The error names the
// field that is wrong.
func New(cfg Config) (*Sink, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	publisher := newPublisher(cfg)
	sink, err := relaywatermill.New(publisher, relaywatermill.Options{
		Lanes: cfg.Lanes, Buffer: cfg.Buffer, Check: publisher.check,
		Rejected: func(_ string, err error) bool { return errors.Is(err, errRejected) },
		Validate: func(r *relay.Record) error { return checkNames(r.Topic, r.Key) },
	})
	if err != nil {
		return nil, err
	}
	return &Sink{Sink: sink, publisher: publisher}, nil
}

// Check connects if there is no connection, and publishes a message that no queue gets. If the broker does not answer,
// or accepts no messages because of a memory or disk alarm, the error says what to check.
func (s *Sink) Check(ctx context.Context) error { return s.publisher.check(ctx) }

// HasExchange reports whether the broker has an exchange of this name. It changes nothing there.
func (s *Sink) HasExchange(ctx context.Context, name string) (bool, error) {
	return s.publisher.hasExchange(ctx, name)
}

// Close closes the connection.
func (s *Sink) Close() error { return s.publisher.Close() }

// maxShortString is the longest text that AMQP allows as the name of an exchange or of a header, and as a
// routing key.
const maxShortString = 255

// checkNames returns why AMQP allows no such exchange or routing key.
func checkNames(topic string, key []byte) error {
	switch {
	case topic == "":
		return errors.New("the event has no topic, and the exchange without a name sends to queues by their names")
	case len(topic) > maxShortString:
		return fmt.Errorf("the topic has %d bytes, and AMQP's exchanges have names of at most %d",
			len(topic), maxShortString)
	case len(key) > maxShortString:
		return fmt.Errorf("the key has %d bytes, and AMQP's routing keys at most %d: use shorter keys for topic %s",
			len(key), maxShortString, topic)
	}
	return nil
}
