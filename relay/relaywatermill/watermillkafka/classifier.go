package watermillkafka

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/postroom/postroom/internal/kafkarules"
)

// watched tells the classifier which topics accept messages.
type watched struct {
	message.Publisher
	classifier *classifier
}

func (w watched) Publish(topic string, messages ...*message.Message) error {
	err := w.Publisher.Publish(topic, messages...)
	if err == nil && w.classifier.suspects.Load() {
		w.classifier.clear(topic)
	}
	return withHint(err)
}

// withHint adds what an operator can do.
func withHint(err error) error {
	var answer sarama.KError
	var tooLarge sarama.ConfigurationError
	hint := ""
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLarge):
		hint = "raise Config.MaxMessageBytes together with the brokers' message.max.bytes or the topic's " +
			"max.message.bytes"
	case errors.Is(err, sarama.ErrUnknownTopicOrPartition):
		hint = "create the topic"
	case errors.As(err, &answer):
		var ok bool
		if hint, ok = kafkarules.Rejects(int16(answer), batchLimit); !ok {
			hint = kafkarules.Outage(int16(answer))
		}
	}
	if hint == "" {
		return err
	}
	return fmt.Errorf("%w; %s", err, hint)
}

// batchLimit is the name of our setting that bounds batches.
const batchLimit = "MaxMessageBytes"

// classifier separates rejections from outages.
type classifier struct {
	unknownAfter time.Duration
	suspects     atomic.Bool // whether unknown has had entries

	mu      sync.Mutex
	unknown map[string]denial
}

func (c *classifier) clear(topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.unknown, topic)
}

type denial struct{ first, last time.Time }

// denialsApart is how far apart two denials of a topic may be and still count as continuous. The relay comes
// back with the record after each outage, but after a few denials sarama asks the broker only every 10 s.
const denialsApart = 30 * time.Second

// rejected reports whether an error of Publish concerns only its record. That is so if we cannot make a
// message of the record, if sarama finds the message too large, or if the broker rejects it permanently. A
// topic is rejected only after brokers have reported it missing continuously for unknownAfter. Every other
// error is an outage.
func (c *classifier) rejected(topic string, err error) bool {
	var tooLarge sarama.ConfigurationError // of Producer.MaxMessageBytes; Publish returns no other
	if errors.Is(err, errNoMessage) || errors.As(err, &tooLarge) {
		return true
	}
	var answer sarama.KError
	if !errors.As(err, &answer) {
		return false
	}
	if answer == sarama.ErrUnknownTopicOrPartition {
		return c.deniedLongEnough(topic, time.Now())
	}
	_, rejects := kafkarules.Rejects(int16(answer), batchLimit)
	return rejects
}

func (c *classifier) deniedLongEnough(topic string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.unknown[topic]
	if !ok || now.Sub(known.last) > max(denialsApart, c.unknownAfter) {
		known.first = now
	}
	known.last = now
	if c.unknown == nil {
		c.unknown = make(map[string]denial)
		c.suspects.Store(true)
	}
	c.unknown[topic] = known
	return now.Sub(known.first) >= c.unknownAfter
}
