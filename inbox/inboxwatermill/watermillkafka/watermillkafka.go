// Package watermillkafka returns the position and the key of messages of watermill-kafka's subscribers, for
// inboxwatermill. It is a package of its own because it imports watermill-kafka, and with it a Kafka client.
//
//	inboxwatermill.Middleware(ib, db,
//		inboxwatermill.WithPosition(watermillkafka.Position),
//		inboxwatermill.WithKey(watermillkafka.Key))
//
// Both read the message's context. It must be the subscriber's context, or derived from it.
package watermillkafka

import (
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/postroom/postroom/inbox"
)

// Position returns a message's position in Kafka. It returns nil if the message's context has no position, for example
// because no Router read it from watermill-kafka.
func Position(msg *message.Message) *inbox.Position {
	return PositionIn(message.SubscribeTopicFromCtx(msg.Context()))(msg)
}

// PositionIn returns a function like Position for messages of one topic that are read without a Router, for example
// with inboxwatermill.RunBatch. Only the contexts of a Router have the topic.
func PositionIn(topic string) func(*message.Message) *inbox.Position {
	return func(msg *message.Message) *inbox.Position {
		partition, ok := kafka.MessagePartitionFromCtx(msg.Context())
		offset, ok2 := kafka.MessagePartitionOffsetFromCtx(msg.Context())
		if topic == "" || !ok || !ok2 {
			return nil
		}
		return &inbox.Position{Topic: topic, Partition: partition, Offset: offset}
	}
}

// Key returns the key of the Kafka record, or "" if there is none.
func Key(msg *message.Message) string {
	key, _ := kafka.MessageKeyFromCtx(msg.Context())
	return string(key)
}
