package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	store "github.com/postroom/postroom/internal/store/inbox"
)

// Limits of the tables. Their CHECK constraints enforce them as well.
const (
	MaxConsumer  = 100 // bytes
	MaxMessageID = 255 // bytes
	MaxTopic     = 249 // characters

	// MaxParkedPayload is the largest payload that is parked with its message, in bytes. On MySQL the limit is a little
	// less than half of max_allowed_packet, if that is less. Of a larger payload, and of headers that are larger than
	// 1 MiB, the row has only the size and the position in Kafka.
	MaxParkedPayload = 8 << 20
)

// Errors of Accept and Process, for errors.Is. They are returned before any SQL.
var (
	ErrNoTransaction   = errors.New("no transaction: pass the one that your handler writes in")
	ErrNoID            = errors.New("the message has no id")
	ErrTooLarge        = errors.New("too large")
	ErrInvalidText     = errors.New("invalid text")
	ErrInvalidPosition = errors.New("invalid position")
)

// Position is the position of a message in Kafka.
type Position struct {
	Topic     string // 1 to 249 characters
	Partition int32  // 0 or more
	Offset    int64  // 0 or more
}

func (p Position) String() string { return fmt.Sprintf("%s/%d@%d", p.Topic, p.Partition, p.Offset) }

// Message is what the inbox knows of a delivery.
type Message struct {
	// ID identifies the message among all that reach the consumer, whichever service produced them. It has 1 to 255
	// bytes of UTF-8 without NUL, and is compared byte by byte, so that case and trailing spaces count. On the wire
	// of Postroom and Watermill it is the header _watermill_message_uuid.
	ID string

	// Position is this delivery's position in Kafka, or nil if the transport has no positions. It is stored with the
	// id, so that Prune knows whether the message could still be delivered again.
	Position *Position

	// Topic is the topic that the message was published to, at most 249 characters. A message with a Topic is parked
	// when all its attempts have failed. It needs the fields below, as far as the message has them. For a message
	// without a Topic, Process returns an *AttemptsError.
	Topic string
	// Key orders messages: those of one topic and key are parked and retried in order. It may have any bytes. Empty: no
	// order.
	Key string
	// Type, Headers and Payload are stored with a parked message, and passed to the handler when the message is
	// retried. Headers may have any bytes. A nil Payload is a tombstone. A payload over MaxParkedPayload is not stored.
	Type    string
	Headers map[string]string
	Payload []byte

	// Err says why the message cannot be decoded. Such a message is parked with this reason, and no handler runs.
	Err error
}

// Handler applies the effect of a message in tx. See Process for what it may do.
type Handler func(ctx context.Context, tx *sql.Tx, m Message) error

// BatchHandler applies the effects of messages in tx, in the given order. All of them are fresh. See ProcessBatch.
type BatchHandler func(ctx context.Context, tx *sql.Tx, ms []Message) error

func (m Message) check() error {
	if m.ID == "" {
		return fmt.Errorf("%w: its producer must set one (on Watermill's wire the header "+
			"_watermill_message_uuid)", ErrNoID)
	}
	if err := checkText("message id", m.ID, MaxMessageID); err != nil {
		return err
	}
	if utf8.RuneCountInString(m.Topic) > MaxTopic {
		return fmt.Errorf("%w: topic %.300q of message %q: at most %d characters", ErrTooLarge, m.Topic, m.ID, MaxTopic)
	}
	if err := checkText("topic", m.Topic, 4*MaxTopic); err != nil {
		return err
	}
	p := m.Position
	switch {
	case p == nil:
		return nil
	case p.Topic == "", p.Partition < 0, p.Offset < 0:
		return fmt.Errorf("%w %s of message %q: want a topic, and a partition and offset of 0 or more; leave "+
			"Position nil if there is none", ErrInvalidPosition, p, m.ID)
	case !utf8.ValidString(p.Topic), strings.IndexByte(p.Topic, 0) >= 0, utf8.RuneCountInString(p.Topic) > MaxTopic:
		return fmt.Errorf("%w: topic %.300q of message %q: want at most %d characters of UTF-8 without NUL",
			ErrInvalidPosition, p.Topic, m.ID, MaxTopic)
	}
	return nil
}

func (m Message) row(consumer string) store.Row {
	row := store.Row{Consumer: consumer, MessageID: m.ID}
	if m.Position != nil {
		row.Position = &store.Position{
			Topic: m.Position.Topic, Partition: m.Position.Partition, Offset: m.Position.Offset,
		}
	}
	return row
}

// checkText returns an error for a text that not every database can store completely.
func checkText(what, s string, most int) error {
	switch {
	case len(s) > most:
		return fmt.Errorf("%w: %s of %d bytes, at most %d", ErrTooLarge, what, len(s), most)
	case !utf8.ValidString(s):
		return fmt.Errorf("%w: %s %q is not UTF-8", ErrInvalidText, what, s)
	case strings.IndexByte(s, 0) >= 0:
		return fmt.Errorf("%w: %s %q has a NUL byte", ErrInvalidText, what, s)
	}
	return nil
}
