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

// messageOf makes the message that the inbox gets. The error is for Policy Halt; with
// Park the message carries it.
func (c *Consumer) messageOf(r *kgo.Record) (inbox.Message, error) {
	m, err := c.decode(r)
	if err == nil {
		err = checkMessage(m)
	}
	at := inbox.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
	if err != nil {
		if c.cfg.OnUndecodable == Halt {
			return inbox.Message{}, fmt.Errorf("inboxkafka: the record at %s cannot be decoded: %w; with OnUndecodable Park it "+
				"would be parked", at, err)
		}
		if refused, none := c.decoded.failed(r.Topic); none && c.cfg.UndecodableLimit > 0 &&
			refused >= c.cfg.UndecodableLimit {
			return inbox.Message{}, fmt.Errorf("inboxkafka: none of the first %d messages of topic %q could be decoded, the "+
				"last at %s: %w; "+
				"set Config.Decode to what reads this topic; those before this one are parked: then retry them with `relay inbox "+
				"parked retry`, "+
				"or, if all of the topic is to be parked, set UndecodableLimit to -1", refused, r.Topic, at, err)
		}
		m = inbox.Message{ID: syntheticID(at), Headers: headersOf(r), Payload: r.Value, Err: err}
	}
	if err == nil {
		c.decoded.accept(r.Topic)
	}
	m.Position, m.Topic, m.Key = &at, r.Topic, string(r.Key)
	return m, nil
}

// decoded counts the messages of each topic that could not be decoded, until one could.
type decoded struct {
	mu      sync.Mutex
	refused map[string]int // by topic; -1 from the first that could be decoded on
}

// failed notes a message that cannot be decoded. none: nor could any before it, of which it is the nth.
func (d *decoded) failed(topic string) (n int, none bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refused[topic] < 0 {
		return 0, false
	}
	if d.refused == nil {
		d.refused = make(map[string]int)
	}
	d.refused[topic]++
	return d.refused[topic], true
}

func (d *decoded) accept(topic string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refused == nil {
		d.refused = make(map[string]int)
	}
	d.refused[topic] = -1
}

// decode is Config.Decode, whose panic is an error: a record that makes it panic would
// otherwise end the process at every start.
func (c *Consumer) decode(r *kgo.Record) (m inbox.Message, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("the decoder panicked: %v", value)
		}
	}()
	return c.cfg.Decode(r)
}

// checkMessage refuses ids that the inbox cannot store.
func checkMessage(m inbox.Message) error {
	switch {
	case m.ID == "":
		return ErrNoID
	case len(m.ID) > inbox.MaxMessageID:
		return fmt.Errorf("the message id has %d bytes, at most %d", len(m.ID), inbox.MaxMessageID)
	case !utf8.ValidString(m.ID), strings.IndexByte(m.ID, 0) >= 0:
		return fmt.Errorf("the message id %q is not UTF-8 without NUL", m.ID)
	}
	return nil
}

// syntheticID names a record without an id: topic/partition@offset, the same at each delivery.
func syntheticID(at inbox.Position) string {
	id := at.String()
	if len(id) > inbox.MaxMessageID {
		sum := sha256.Sum256([]byte(at.Topic))
		at.Topic = "sha256-" + hex.EncodeToString(sum[:])
		id = at.String()
	}
	return id
}
