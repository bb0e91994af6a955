package watermillamqp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// channel is an AMQP channel with confirms, on which any number of goroutines publish.
//
// Hazard return-beside-confirm. The broker sends the return of a message before its confirm. The library passes both
// on in that order, from one goroutine: the return to collect, the confirm to publish. When publish has the confirm,
// collect may have received the return but not noted it yet. So publish then receives from noted. Collect sends there
// only between two returns, when it has noted every return that it received before.
type channel struct {
	conn   *connection
	amqp   *amqp091.Channel
	closes <-chan *amqp091.Error
	noted  chan struct{}
	ended  chan struct{} // closed when collect has ended

	mu       sync.Mutex
	returned map[string]string // why, by message id
	reason   *amqp091.Error    // why the channel was closed
}

// channelClosedError says that the broker closed the channel because of a message on it, and not the connection.
type channelClosedError struct{ reason *amqp091.Error }

func (e *channelClosedError) Error() string { return e.reason.Error() }

func newChannel(conn *connection, ch *amqp091.Channel) *channel {
	c := &channel{
		conn: conn, amqp: ch, closes: ch.NotifyClose(make(chan *amqp091.Error, 1)),
		noted: make(chan struct{}), ended: make(chan struct{}), returned: make(map[string]string),
	}
	go c.collect(ch.NotifyReturn(make(chan amqp091.Return))) // without a buffer: see above
	return c
}

// collect notes returned messages. It ends when the channel ends.
func (c *channel) collect(returns <-chan amqp091.Return) {
	defer close(c.ended)
	for {
		select {
		case r, open := <-returns:
			if !open {
				return
			}
			c.mu.Lock()
			c.returned[r.MessageId] = r.ReplyText
			c.mu.Unlock()
		case c.noted <- struct{}{}:
		}
	}
}

// takeReturn returns whether and why a message was returned. The message's confirm must have arrived.
func (c *channel) takeReturn(id string) (why string, returned bool) {
	select {
	case <-c.noted:
	case <-c.ended:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	why, returned = c.returned[id]
	delete(c.returned, id)
	return why, returned
}

// forgetReturn forgets that an earlier copy of a message was returned, which got no confirm.
func (c *channel) forgetReturn(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.returned, id)
}

// publish returns nil if the broker has the message.
func (c *channel) publish(ctx context.Context, out *outgoing) error {
	c.forgetReturn(out.MessageId)
	done := c.conn.guard(ctx, c.conn.timeout) // a write waits while the broker reads nothing
	confirm, err := c.amqp.PublishWithDeferredConfirm(out.exchange, out.key, true, false, out.Publishing)
	done()
	switch {
	case err != nil && ctx.Err() != nil: // which killed the connection
		return ctx.Err()
	case err != nil:
		return c.failure(err)
	}
	timer := time.NewTimer(c.conn.timeout)
	defer timer.Stop()
	select {
	case <-confirm.Done():
	case <-ctx.Done():
		c.conn.abandon()
		return ctx.Err()
	case <-timer.C:
		err := fmt.Errorf("the broker has not confirmed a message within %s", c.conn.timeout)
		if blocked := c.conn.blockedError(); blocked != nil {
			err = blocked
		}
		c.conn.abandon()
		return err
	}
	if !confirm.Acked() {
		return c.failure(nil)
	}
	if why, returned := c.takeReturn(out.MessageId); returned {
		return fmt.Errorf("%w: %s: exchange %s has no queue for routing key %q; bind a queue to it",
			errRejected, why, out.exchange, out.key)
	}
	return nil
}

// failure returns why a message was not confirmed. When a channel ends, the library reports a nack for each of its
// messages. It first marks the channel as closed, then reports the reason, and then closes the channel of returns. So
// after that last step, which ends collect, the reason is there.
func (c *channel) failure(err error) error {
	if c.amqp.IsClosed() {
		<-c.ended
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case reason := <-c.closes: // nil after the first, and without a reason
		if c.reason == nil {
			c.reason = reason
		}
	default:
	}
	switch {
	case c.reason != nil && c.reason.Server && c.reason.Recover: // AMQP's soft errors close the channel alone
		return &channelClosedError{c.reason}
	case c.reason != nil:
		return lost(c.reason)
	case err != nil && !errors.Is(err, amqp091.ErrClosed):
		return lost(err)
	case c.amqp.IsClosed():
		return errNoConnection
	}
	return errors.New("the broker sent a nack: a queue has reached its limit and its overflow is reject-publish, " +
		"or the broker failed inside")
}

// close closes the channel. An error here concerns no message. close has its own time limit and no context: if a
// caller's context ended, the connection would be closed, with the messages of others.
func (c *channel) close() {
	defer c.conn.guard(context.Background(), closeTimeout)()
	_ = c.amqp.Close()
}
