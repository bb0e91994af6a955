package kit

import (
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/postroom/postroom/inbox/inboxwatermill/watermillamqp"
)

// Mails is how mails travel from orders to notifications: over RabbitMQ if URL is set, or else in this process.
type Mails struct {
	URL       string // amqp://user:password@host:port/
	InProcess *MailChannel
}

// Declare makes the exchange and the durable queue of a topic in RabbitMQ. The relay does not do that: an event that no
// queue takes is rejected, because it would otherwise be lost without a word.
func (m Mails) Declare(topic string) error {
	if m.URL == "" {
		return nil
	}
	subscriber, err := amqp.NewSubscriber(m.config(), watermill.NopLogger{})
	if err != nil {
		return err
	}
	if err := subscriber.SubscribeInitialize(topic); err != nil {
		return errors.Join(fmt.Errorf("declare the queue of %s: %w", topic, err), subscriber.Close())
	}
	return subscriber.Close()
}

// Subscriber returns what a Watermill Router reads mails with. The caller closes it when the router has ended.
func (m Mails) Subscriber() (message.Subscriber, error) {
	if m.URL == "" {
		return subscriber{m.InProcess}, nil
	}
	return amqp.NewSubscriber(m.config(), watermill.NopLogger{})
}

// config is that of an exchange for each topic, and of one durable queue for notifications.
func (m Mails) config() amqp.Config {
	config := amqp.NewDurablePubSubConfig(m.URL, amqp.GenerateQueueNameTopicNameWithSuffix("notifications"))
	// While RabbitMQ is down, the default waits longer and longer, up to a minute.
	config.Connection.Reconnect = amqp.DefaultReconnectConfig()
	config.Connection.Reconnect.BackoffMaxInterval = 2 * time.Second
	config.Marshaler = watermillamqp.Marshaler{} // it takes every message, whatever the headers hold
	return config
}
