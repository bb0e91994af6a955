// Package watermillamqp reads RabbitMQ's messages for inboxwatermill whole: with the
// routing key, which can order them, and whatever their headers hold. It is apart from
// inboxwatermill because it imports watermill-amqp.
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

// RoutingKey is the metadata in which Marshaler keeps a message's routing key.
const RoutingKey = "amqp_routing_key"

// Marshaler is watermill-amqp's DefaultMarshaler that takes every message. The default
// one fails at headers that are no strings, such as those that RabbitMQ itself adds to a
// dead-lettered message (x-death): the subscriber then returns the message to the queue,
// and gets it again at once, for ever. Here they become texts, and the message reaches
// the handler, which can refuse it and have it parked.
type Marshaler struct {
	amqp.DefaultMarshaler
}

// Unmarshal makes a Watermill message of what RabbitMQ delivers. Its UUID is the header of
// Watermill's, or else the AMQP property message-id.
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

// Key returns the routing key of a message that Marshaler has read; "" for others. It
// orders messages only if the key that they belong to is what producers publish them by.
func Key(msg *message.Message) string { return msg.Metadata.Get(RoutingKey) }
