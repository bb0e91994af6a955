package inboxkafka

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
)

// messageOf converts a record into the message for the inbox. If the record cannot be decoded, Policy Halt returns the
// error, and Park puts it into the message.
func (c *Consumer) messageOf(r *kgo.Record) (inbox.Message, error) {
	m, err := c.decode(r)
	if err == nil {
		err = checkMessage(m)
	}
	at := inbox.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
	if err != nil {
		if c.cfg.OnUndecodable == Halt {
			return inbox.Message{}, fmt.Errorf("inboxkafka: the record at %s cannot be decoded: %w; to park such "+
				"records, set OnUndecodable to Park", at, err)
		}
		if n, all := c.decodeFailures.add(r.Topic); all && c.cfg.UndecodableLimit > 0 && n >= c.cfg.UndecodableLimit {
			return inbox.Message{}, fmt.Errorf("inboxkafka: none of the first %d messages of topic %q could be "+
				"decoded, the last one at %s: %w; set Config.Decode to a decoder for this topic, and then retry the "+
				"messages before this one, which are parked, with `relay inbox parked retry`; to park the whole "+
				"topic instead, set UndecodableLimit to -1", n, r.Topic, at, err)
		}
		m = inbox.Message{ID: syntheticID(at), Headers: headersOf(r), Payload: r.Value, Err: err}
	}
	if err == nil {
		c.decodeFailures.stop(r.Topic)
	}
	m.Position, m.Topic, m.Key = &at, r.Topic, string(r.Key)
	return m, nil
}

// decodeFailures counts the messages of each topic that could not be decoded, until one could.
type decodeFailures struct {
	mu    sync.Mutex
	count map[string]int // by topic; -1 after the first message that could be decoded
}

// add counts a message that could not be decoded. all is true if all n messages up to now could not be decoded.
func (d *decodeFailures) add(topic string) (n int, all bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.count[topic] < 0 {
		return 0, false
	}
	if d.count == nil {
		d.count = make(map[string]int)
	}
	d.count[topic]++
	return d.count[topic], true
}

// stop ends the count of a topic, because a message could be decoded.
func (d *decodeFailures) stop(topic string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.count == nil {
		d.count = make(map[string]int)
	}
	d.count[topic] = -1
}

// decode calls Config.Decode, and converts a panic into an error. Otherwise a record that makes it panic would end the
// process at each start.
func (c *Consumer) decode(r *kgo.Record) (m inbox.Message, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("the decoder panicked: %v", value)
		}
	}()
	return c.cfg.Decode(r)
}

// checkMessage returns an error for an id that the inbox cannot store.
func checkMessage(m inbox.Message) error {
	switch {
	case m.ID == "":
		return ErrNoID
	case len(m.ID) > inbox.MaxMessageID:
		return fmt.Errorf("the message id has %d bytes; at most %d are allowed", len(m.ID), inbox.MaxMessageID)
	case !utf8.ValidString(m.ID), strings.IndexByte(m.ID, 0) >= 0:
		return fmt.Errorf("the message id %q is not UTF-8, or has a NUL", m.ID)
	}
	return nil
}

// syntheticID returns the id for a record without one: topic/partition@offset. It is the same at each delivery.
func syntheticID(at inbox.Position) string {
	id := at.String()
	if len(id) > inbox.MaxMessageID {
		sum := sha256.Sum256([]byte(at.Topic))
		at.Topic = "sha256-" + hex.EncodeToString(sum[:])
		id = at.String()
	}
	return id
}
