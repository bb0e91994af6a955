package watermillamqp_test

import (
	"fmt"
	"log"

	"github.com/postroom/postroom/relay/relaywatermill/watermillamqp"
)

// The sink connects when it is used, and not when it is made.
func ExampleNew() {
	const url = "amqp://relay:secret@rabbitmq.example/shop"
	sink, err := watermillamqp.New(watermillamqp.Config{URL: url})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = sink.Close() }() // after the relay has stopped
	// Give it to a relay: relay.New(relay.Config{DB: db, Dialect: relay.PostgreSQL, Sink: sink})
	address, _ := watermillamqp.Address(url) // New has checked the URL
	fmt.Println("events go to", address)
	// Output: events go to amqp://rabbitmq.example:5672/shop
}
