package watermillamqp_test

import (
	"testing"

	"github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp091 "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox/inboxwatermill/watermillamqp"
)

func TestADeadLetteredMessageIsRead(t *testing.T) {
	delivery := amqp091.Delivery{
		Headers: amqp091.Table{
			"_watermill_message_uuid": "m1", "tenant": "t1",
			"x-death": []any{amqp091.Table{"queue": "orders", "count": int64(1)}},
		},
		RoutingKey: "customer-42", Body: []byte("{}"),
	}
	_, err := amqp.DefaultMarshaler{}.Unmarshal(delivery)
	require.ErrorContains(t, err, "not a string", "or this package were not needed")

	msg, err := watermillamqp.Marshaler{}.Unmarshal(delivery)
	require.NoError(t, err)
	require.Equal(t, "m1", msg.UUID)
	require.Equal(t, "t1", msg.Metadata.Get("tenant"))
	require.Contains(t, msg.Metadata.Get("x-death"), "orders")
	require.NotContains(t, msg.Metadata, "_watermill_message_uuid")
	require.Equal(t, "customer-42", watermillamqp.Key(msg))
	require.Equal(t, message.Payload("{}"), msg.Payload)
}

func TestTheMessageIDIsThePropertyWhereWatermillsHeaderIsMissing(t *testing.T) {
	msg, err := watermillamqp.Marshaler{}.Unmarshal(amqp091.Delivery{MessageId: "m2"})
	require.NoError(t, err)
	require.Equal(t, "m2", msg.UUID)
	require.Empty(t, watermillamqp.Key(message.NewMessage("m", nil)))
}
