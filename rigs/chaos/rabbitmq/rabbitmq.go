// Package rabbitmq has what rigs/chaos needs for RabbitMQ: the exchanges and queues of a run, and what the
// queues contain at its end.
package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/rabbitmq/amqp091-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Topic is the exchange of a topic, with a queue of the same name.
type Topic struct {
	Name  string
	Queue string // classic or quorum; empty: no queue, so that every event is rejected
}

// Declare declares durable exchanges and queues.
func Declare(ctx context.Context, address string, topics ...Topic) error {
	err := within(ctx, address, func(ch *amqp091.Channel) error {
		for _, t := range topics {
			if err := ch.ExchangeDeclare(t.Name, "fanout", true, false, false, false, nil); err != nil {
				return err
			}
			if t.Queue == "" {
				continue
			}
			kind := amqp091.Table{"x-queue-type": t.Queue}
			if _, err := ch.QueueDeclare(t.Name, true, false, false, false, kind); err != nil {
				return err
			}
			if err := ch.QueueBind(t.Name, "", t.Name, false, nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("declare the exchanges: %w", err)
	}
	return nil
}

// Queues reads the queues of a run. It keeps what it has read.
type Queues struct {
	address string
	read    map[string][]*kgo.Record
}

// NewQueues returns the queues of a broker.
func NewQueues(address string) *Queues { return &Queues{address, make(map[string][]*kgo.Record)} }

// ReadBack visits every message of the topics' queues, in the order of the queue. It presents a message as a
// Kafka record of partition 0, with its place in the queue as the offset, so that the checks for Kafka can be
// used. It empties the queues, because a broker does not deliver a whole queue to a consumer that
// acknowledges nothing.
func (q *Queues) ReadBack(ctx context.Context, topics []string, visit func(*kgo.Record)) error {
	for _, topic := range topics {
		if _, known := q.read[topic]; !known {
			err := within(ctx, q.address, func(ch *amqp091.Channel) error { return q.empty(ctx, ch, topic) })
			if err != nil {
				return fmt.Errorf("read queue %s: %w", topic, err)
			}
		}
		for _, r := range q.read[topic] {
			visit(r)
		}
	}
	return nil
}

// prefetch is how many messages may be unacknowledged.
const prefetch = 1000

func (q *Queues) empty(ctx context.Context, ch *amqp091.Channel, name string) error {
	queue, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
	if err != nil {
		return err
	}
	if err := ch.Qos(prefetch, 0, false); err != nil {
		return err
	}
	const consumer = "judge"
	deliveries, err := ch.ConsumeWithContext(ctx, name, consumer, false, true, false, false, nil)
	if err != nil {
		return err
	}
	for n := 1; n <= queue.Messages; n++ {
		select {
		case d, open := <-deliveries:
			if !open {
				return fmt.Errorf("the queue ended after %d messages of %d", n-1, queue.Messages)
			}
			q.keep(name, d)
			if n%(prefetch/2) == 0 || n == queue.Messages {
				if err := d.Ack(true); err != nil {
					return err
				}
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := ch.Cancel(consumer, false); err != nil {
		return err
	}
	for d := range deliveries { // messages that were delivered in addition to the count
		q.keep(name, d)
		if err := d.Ack(false); err != nil {
			return err
		}
	}
	for {
		d, ok, err := ch.Get(name, true)
		if err != nil || !ok {
			return err
		}
		q.keep(name, d)
	}
}

func (q *Queues) keep(topic string, d amqp091.Delivery) {
	q.read[topic] = append(q.read[topic], record(topic, int64(len(q.read[topic])), d))
}

func record(topic string, offset int64, d amqp091.Delivery) *kgo.Record {
	r := &kgo.Record{Topic: topic, Value: d.Body, Offset: offset}
	if d.RoutingKey != "" {
		r.Key = []byte(d.RoutingKey)
	}
	for name, value := range d.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: fmt.Append(nil, value)})
	}
	return r
}

// within runs a function on a channel of its own. It retries, because a broker that was just restarted may
// need a moment.
func within(ctx context.Context, address string, run func(*amqp091.Channel) error) error {
	conn, err := amqp091.Dial(address)
	for ; err != nil; conn, err = amqp091.Dial(address) {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
	ch, err := conn.Channel()
	if err == nil {
		err = run(ch)
	}
	return errors.Join(err, conn.Close())
}

// Through returns the broker's URL for clients that reach it at another host and port.
func Through(address, hostPort string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address // the client reports what is wrong
	}
	u.Host = hostPort
	return u.String()
}
