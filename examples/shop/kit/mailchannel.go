package kit

import (
	"context"
	"errors"
	"sync"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
)

// MailChannel is what Mails needs to work without RabbitMQ. It keeps all messages in memory, and gives them again to
// each new subscriber, so that notifications may be stopped and started. The inbox recognises what was handled before.
//
// It can be stopped, as RabbitMQ can. Publish then fails, and subscribers get nothing.
type MailChannel struct {
	channel *gochannel.GoChannel

	mu      sync.Mutex
	running chan struct{} // closed: it runs
}

// NewMailChannel returns a channel that runs. The caller closes it.
func NewMailChannel() *MailChannel {
	c := &MailChannel{
		channel: gochannel.NewGoChannel(gochannel.Config{Persistent: true}, watermill.NopLogger{}),
		running: make(chan struct{}),
	}
	close(c.running)
	return c
}

// SetRunning stops or starts the channel.
func (c *MailChannel) SetRunning(run bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.running:
		if !run {
			c.running = make(chan struct{})
		}
	default:
		if run {
			close(c.running)
		}
	}
}

func (c *MailChannel) whenRunning() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running
}

// Publish keeps the messages, unless the channel is stopped.
func (c *MailChannel) Publish(topic string, messages ...*message.Message) error {
	select {
	case <-c.whenRunning():
		return c.channel.Publish(topic, messages...)
	default:
		return errors.New("the broker of this process is stopped")
	}
}

// Close ends all subscriptions.
func (c *MailChannel) Close() error { return c.channel.Close() }

// Subscribe returns the messages of a topic, from the first one on, until ctx ends.
func (c *MailChannel) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	kept, err := c.channel.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for m := range kept {
			select {
			case <-c.whenRunning():
			case <-ctx.Done():
				return
			}
			select {
			case out <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

// subscriber is a channel that stays open when one of its readers closes it: others use it too.
type subscriber struct{ *MailChannel }

// Close does nothing.
func (subscriber) Close() error { return nil }
