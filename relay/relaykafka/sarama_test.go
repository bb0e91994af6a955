package relaykafka_test

import (
	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
)

// fromTheStart returns the configuration of a stock subscriber that reads from the start of the topic.
func fromTheStart() *sarama.Config {
	config := kafka.DefaultSaramaSubscriberConfig()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	return config
}
