// Package watermillkafka tells inboxwatermill what watermill-kafka's subscribers know of a
// message: where Kafka has it, and its key. It is apart from inboxwatermill because it
// imports watermill-kafka, and with it a Kafka client, which others do not need.
//
//	inboxwatermill.Middleware(ib, db,
//		inboxwatermill.WithPosition(watermillkafka.Position),
//		inboxwatermill.WithKey(watermillkafka.Key))
//
// Both read the message's context, which is the subscriber's as long as nothing
// replaces it by one of another origin.
package watermillkafka

import (
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/postroom/postroom/inbox"
)

// Position returns where Kafka has a message; nil if its context does not say, as for
// one that was not read by a Router from watermill-kafka.
func Position(msg *message.Message) *inbox.Position {
	return PositionIn(message.SubscribeTopicFromCtx(msg.Context()))(msg)
}

// PositionIn returns a Position for messages of one topic that no Router reads, as with
// inboxwatermill.RunBatch: only a router's contexts tell the topic.
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

// Key returns the Kafka record's key; "" if there is none.
func Key(msg *message.Message) string {
	key, _ := kafka.MessageKeyFromCtx(msg.Context())
	return string(key)
}
