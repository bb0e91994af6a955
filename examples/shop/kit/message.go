package kit

import (
	"encoding/json"
	"fmt"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/outbox"
)

// Decode reads the body of a message. A message that cannot be read is parked by the inbox, with the error.
func Decode[Body any](m inbox.Message) (body Body, err error) {
	if err := json.Unmarshal(m.Payload, &body); err != nil {
		return body, fmt.Errorf("read the body of a %s: %w", m.Type, err)
	}
	return body, nil
}

// Event makes an event for a topic of package events. The key keeps the events of one order, or one customer, in order.
func (k Kafka) Event(topic, key, eventType string, body any) (outbox.Event, error) {
	payload, err := outbox.JSON(body)
	return outbox.Event{Topic: k.Topic(topic), Key: key, Type: eventType, Payload: payload}, err
}
