package relaykafka_test

import (
	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
)

// fromTheStart is a stock subscriber's configuration, reading from the topic's beginning.
func fromTheStart() *sarama.Config {
	config := kafka.DefaultSaramaSubscriberConfig()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	return config
}
