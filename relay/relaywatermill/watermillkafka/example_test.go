package watermillkafka_test

import (
	"context"
	"fmt"
	"log"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/postroom/postroom/relay/relaywatermill/watermillkafka"
)

// The sink connects when it is created. In this example Kafka runs in the same process.
func ExampleNew() {
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		log.Fatal(err)
	}
	defer kafka.Close()

	sink, err := watermillkafka.New(watermillkafka.Config{Brokers: kafka.ListenAddrs()})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = sink.Close() }() // after the relay has stopped
	// Give it to a relay: relay.New(relay.Config{DB: db, Dialect: relay.PostgreSQL, Sink: sink})
	fmt.Println("can be reached:", sink.Check(context.Background()) == nil)
	// Output: can be reached: true
}
