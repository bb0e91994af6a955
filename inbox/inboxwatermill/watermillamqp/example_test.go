package watermillamqp_test

import (
	"fmt"
	"log"

	"github.com/rabbitmq/amqp091-go"

	"github.com/postroom/postroom/inbox/inboxwatermill/watermillamqp"
)

// RabbitMQ has moved a message to a dead-letter queue, and added a header that is not a string. The marshaler accepts
// it. A program gives it to watermill-amqp:
//
//	config := amqp.NewDurableQueueConfig(url)
//	config.Marshaler = watermillamqp.Marshaler{}
func ExampleMarshaler() {
	msg, err := watermillamqp.Marshaler{}.Unmarshal(amqp091.Delivery{
		RoutingKey: "o-1",
		Headers:    amqp091.Table{"_watermill_message_uuid": "a3f1", "x-retries": int32(3)},
		Body:       []byte(`{"total":42}`),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("id:", msg.UUID)
	fmt.Println("key:", watermillamqp.Key(msg))
	fmt.Println("x-retries:", msg.Metadata.Get("x-retries"))
	// Output:
	// id: a3f1
	// key: o-1
	// x-retries: 3
}
