package inboxkafka

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strings"
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
			return inbox.Message{}, fmt.Errorf("inboxkafka: the record at %s cannot be decoded: %w; with OnUndecodable Park it would be parked", at, err)
		}
		m = inbox.Message{ID: syntheticID(at), Headers: headersOf(r), Payload: r.Value, Err: err}
	}
	m.Position, m.Topic, m.Key = &at, r.Topic, string(r.Key)
	return m, nil
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

// again is the handler of parked messages. One that could not be decoded is decoded now: the handler must not
// get raw bytes for a payload. Its own id may have come by another record meanwhile.
func (m *member) again(ctx context.Context, tx *sql.Tx, parked inbox.Message) error {
	if parked.Position == nil || parked.ID != syntheticID(*parked.Position) {
		return m.one(ctx, tx, parked)
	}
	r := &kgo.Record{Topic: parked.Position.Topic, Partition: parked.Position.Partition, Offset: parked.Position.Offset, Value: parked.Payload}
	if parked.Key != "" {
		r.Key = []byte(parked.Key)
	}
	for name, value := range parked.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	decoded, err := m.decode(r)
	if err == nil {
		err = checkMessage(decoded)
	}
	if err != nil {
		return fmt.Errorf("it still cannot be decoded: %w", err)
	}
	decoded.Position, decoded.Topic, decoded.Key = parked.Position, parked.Topic, parked.Key
	fresh, err := m.cfg.Inbox.Accept(ctx, tx, decoded)
	if err != nil || !fresh {
		return err
	}
	return m.one(ctx, tx, decoded)
}
