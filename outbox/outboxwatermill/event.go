package outboxwatermill

import (
	"errors"
	"fmt"
	"maps"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/postroom/postroom/outbox"
)

// ErrInvalidID is returned for a message whose UUID does not have the usual form of 36
// characters, or is the nil UUID. Consumers recognise duplicates by the UUID, so it is
// neither replaced nor cut. See WithDerivedIDs.
var ErrInvalidID = errors.New("the message id is no UUID")

// metadataName is where Watermill's CQRS marshalers put an event's name.
const metadataName = "name"

// Option changes a default of NewPublisher and NewSQLAdapter.
type Option func(*converter)

// WithKey says how to get an event's key, within which order is kept, from a message. Default: no key.
func WithKey(key func(topic string, msg *message.Message) string) Option {
	return func(c *converter) { c.key = key }
}

// WithDerivedIDs makes a UUID (version 5) in namespace from each message id that is no
// UUID, such as Watermill's short UUIDs and ULIDs. The same id gives the same UUID. Ids
// that are UUIDs stay as they are. A message without an id is still an error. If ids are
// unique only within a service, each service needs its own namespace.
func WithDerivedIDs(namespace uuid.UUID) Option {
	return func(c *converter) { c.namespace = &namespace }
}

// converter turns messages into events.
type converter struct {
	key       func(topic string, msg *message.Message) string
	namespace *uuid.UUID // nil: ids must be UUIDs
}

func newConverter(opts []Option) converter {
	var c converter
	for _, opt := range opts {
		opt(&c)
	}
	return c
}

func (c converter) events(topic string, msgs []*message.Message) ([]outbox.Event, error) {
	events := make([]outbox.Event, len(msgs))
	for i, msg := range msgs {
		id, err := c.id(msg.UUID)
		if err != nil {
			return nil, fmt.Errorf("outboxwatermill: message %d of %d for topic %q: %w", i+1, len(msgs), topic, err)
		}
		events[i] = outbox.Event{
			ID:      id,
			Topic:   topic,
			Type:    msg.Metadata[metadataName],
			Payload: msg.Payload,
			Headers: maps.Clone(map[string]string(msg.Metadata)),
		}
		if c.key != nil {
			events[i].Key = c.key(topic, msg)
		}
	}
	return events, nil
}

func (c converter) id(s string) (uuid.UUID, error) {
	const canonical = 36 // characters; uuid.Parse also takes other forms
	if len(s) == canonical {
		if id, err := uuid.Parse(s); err == nil && id != uuid.Nil {
			return id, nil
		}
	}
	if c.namespace == nil || s == "" {
		return uuid.Nil, fmt.Errorf("%w: %q (WithDerivedIDs makes one from it unless it is empty)", ErrInvalidID, s)
	}
	return uuid.NewSHA1(*c.namespace, []byte(s)), nil
}
