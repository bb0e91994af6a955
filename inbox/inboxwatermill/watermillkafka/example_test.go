package watermillkafka_test

import (
	"context"
	"fmt"
	"log"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox/inboxwatermill/watermillkafka"
)

// A message of watermill-kafka's subscriber knows where Kafka has it. Kafka runs in this process here.
func ExamplePositionIn() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	brokers, closeKafka := kafkaWithAnOrder(ctx)
	defer closeKafka()
	config := kafka.DefaultSaramaSubscriberConfig()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	subscriber, err := kafka.NewSubscriber(kafka.SubscriberConfig{
		Brokers: brokers, Unmarshaler: kafka.DefaultMarshaler{}, OverwriteSaramaConfig: config,
	}, watermill.NopLogger{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = subscriber.Close() }()
	messages, err := subscriber.Subscribe(ctx, "orders")
	if err != nil {
		log.Fatal(err)
	}

	msg := <-messages
	position := watermillkafka.PositionIn("orders")(msg)
	fmt.Println(position.Topic, "partition", position.Partition, "offset", position.Offset)
	fmt.Println("key", watermillkafka.Key(msg))
	msg.Ack()
	// A Router's messages know their topic, too:
	//	inboxwatermill.Middleware(ib, db,
	//		inboxwatermill.WithPosition(watermillkafka.Position), inboxwatermill.WithKey(watermillkafka.Key))

	// Output:
	// orders partition 0 offset 0
	// key o-1
}

// kafkaWithAnOrder starts a Kafka in this process, and produces what a relay would.
func kafkaWithAnOrder(ctx context.Context) (brokers []string, closeKafka func()) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		log.Fatal(err)
	}
	producer, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close()
	id := kgo.RecordHeader{Key: kafka.UUIDHeaderKey, Value: []byte(watermill.NewUUID())}
	r := &kgo.Record{Topic: "orders", Key: []byte("o-1"), Headers: []kgo.RecordHeader{id}}
	if err := producer.ProduceSync(ctx, r).FirstErr(); err != nil {
		log.Fatal(err)
	}
	return cluster.ListenAddrs(), cluster.Close
}
