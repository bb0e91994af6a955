// Package watermillamqp converts messages of RabbitMQ for inboxwatermill: with the routing key, which can be the key of
// their order, and with headers of any type. It is a package of its own because it imports watermill-amqp.
//
//	config := amqp.NewDurableQueueConfig(url)
//	config.Marshaler = watermillamqp.Marshaler{}
//	…
//	inboxwatermill.Middleware(ib, db, inboxwatermill.WithKey(watermillamqp.Key))
package watermillamqp

import (
	"fmt"

	"github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// RoutingKey is the metadata in which Marshaler stores a message's routing key.
const RoutingKey = "amqp_routing_key"

// Marshaler is watermill-amqp's DefaultMarshaler, but accepts every message. The default one fails for headers that are
// not strings, such as x-death, which RabbitMQ adds to a dead-lettered message. Then the subscriber returns the message
// to the queue, and gets it again at once, forever. This Marshaler converts such headers into text, and the message
// reaches the handler. If the handler rejects it, it is parked.
type Marshaler struct {
	amqp.DefaultMarshaler
}

// Unmarshal converts a delivery of RabbitMQ into a Watermill message. The UUID is in Watermill's header, or else in the
// AMQP property message-id.
func (m Marshaler) Unmarshal(d amqp091.Delivery) (*message.Message, error) {
	header := m.MessageUUIDHeaderKey
	if header == "" {
		header = amqp.DefaultMessageUUIDHeaderKey
	}
	id := d.MessageId
	if value, ok := d.Headers[header]; ok {
		id = text(value)
	}
	msg := message.NewMessage(id, d.Body)
	for name, value := range d.Headers {
		if name != header {
			msg.Metadata.Set(name, text(value))
		}
	}
	msg.Metadata.Set(RoutingKey, d.RoutingKey)
	return msg, nil
}

func text(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case []byte:
		return string(value)
	}
	return fmt.Sprint(value)
}

// Key returns the routing key of a message that Marshaler has converted, and "" for others. Use it as the key only if
// producers use the key of the message as the routing key.
func Key(msg *message.Message) string { return msg.Metadata.Get(RoutingKey) }
