package outbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/postroom/postroom/internal/kafkatopic"
	store "github.com/postroom/postroom/internal/store/outbox"
)

// Limits of an event. Add and Check enforce them. The tables have CHECK constraints for writers that do not use this
// package. The constraints may allow more than these limits, but never less.
const (
	MaxTopic   = 249      // characters
	MaxKey     = 512      // bytes
	MaxType    = 255      // characters
	MaxPayload = 16 << 20 // bytes
	MaxHeaders = 16 << 10 // bytes of the headers as a JSON object
)

// Errors of Add, found with errors.Is. All but ErrNoTransaction are about one event.
// Add returns them before any SQL.
var (
	ErrNoTransaction  = errors.New("no transaction: pass the *sql.Tx that writes your own data")
	ErrNoTopic        = errors.New("the event has no topic")
	ErrInvalidTopic   = errors.New("invalid topic")
	ErrTooLarge       = errors.New("too large")
	ErrReservedHeader = errors.New("reserved header")
	ErrInvalidHeader  = errors.New("invalid header")
	ErrInvalidText    = errors.New("invalid text")
	ErrInvalidTime    = errors.New("invalid time")
)

// ErrNotMigrated is in the errors of Add and Cancel when a table does not exist. Tables of
// an older build have none for scheduled events: then Cancel fails, and Add for an event
// with DeliverAt.
var ErrNotMigrated = errors.New("the outbox tables are not there: run `relay migrate up` or migrations.Apply")

type limits struct {
	payload  int
	anyTopic bool
}

var defaultLimits = limits{payload: MaxPayload}

// row checks an event and converts it to the row that the table stores.
func (l limits) row(e Event) (store.EventRow, error) {
	for _, check := range []func(Event) error{
		l.checkTopic, checkKey, checkType, l.checkPayload, checkHeaders, checkTime,
	} {
		if err := check(e); err != nil {
			return store.EventRow{}, err
		}
	}
	headers := "{}"
	if len(e.Headers) > 0 {
		b, err := json.Marshal(e.Headers)
		if err != nil {
			return store.EventRow{}, fmt.Errorf("%w: %w", ErrInvalidHeader, err)
		}
		headers = string(b)
	}
	// PostgreSQL measures jsonb as it prints it, with a space after each colon and comma.
	if size := len(headers) + 2*len(e.Headers); size > MaxHeaders {
		return store.EventRow{}, fmt.Errorf(
			"%w: headers of %d bytes as JSON, at most %d", ErrTooLarge, size, MaxHeaders,
		)
	}
	return store.EventRow{
		EventID: e.ID, Topic: e.Topic, Key: e.Key, Type: e.Type, Payload: e.Payload, Headers: headers,
		DeliverAt: microseconds(e.DeliverAt),
	}, nil
}

func (l limits) checkTopic(e Event) error {
	if e.Topic == "" {
		return ErrNoTopic
	}
	if n := utf8.RuneCountInString(e.Topic); n > MaxTopic {
		return fmt.Errorf("%w: topic of %d characters, at most %d", ErrTooLarge, n, MaxTopic)
	}
	if err := checkText("topic", e.Topic); err != nil {
		return err
	}
	if l.anyTopic {
		return nil
	}
	if !kafkatopic.Valid(e.Topic) {
		return fmt.Errorf(
			"%w %q: Kafka allows a-z, A-Z, 0-9, '.', '_' and '-' (WithAnyTopic lifts this for other brokers)",
			ErrInvalidTopic, e.Topic,
		)
	}
	return nil
}

func checkKey(e Event) error {
	if len(e.Key) > MaxKey {
		return fmt.Errorf("%w: key of %d bytes, at most %d", ErrTooLarge, len(e.Key), MaxKey)
	}
	return checkText("key", e.Key)
}

func checkType(e Event) error {
	if n := utf8.RuneCountInString(e.Type); n > MaxType {
		return fmt.Errorf("%w: type of %d characters, at most %d", ErrTooLarge, n, MaxType)
	}
	if strings.ContainsAny(e.Type, "\r\n") {
		return fmt.Errorf("%w: type %q has a line break, and travels in a header", ErrInvalidText, e.Type)
	}
	return checkText("type", e.Type)
}

func (l limits) checkPayload(e Event) error {
	if len(e.Payload) > l.payload {
		return fmt.Errorf(
			"%w: payload of %d bytes for topic %q, at most %d", ErrTooLarge, len(e.Payload), e.Topic, l.payload,
		)
	}
	return nil
}

func checkHeaders(e Event) error {
	for name, value := range e.Headers {
		switch {
		case name == "":
			return fmt.Errorf("%w: a header has no name", ErrInvalidHeader)
		case strings.HasPrefix(name, "_watermill_"), strings.HasPrefix(name, "postroom_"):
			return fmt.Errorf(
				"%w %q: names that start with _watermill_ or postroom_ are set by the relay", ErrReservedHeader, name,
			)
		case strings.ContainsAny(name, "\r\n\x00"), strings.ContainsAny(value, "\r\n\x00"):
			return fmt.Errorf("%w %q: CR, LF and NUL are not allowed in a name or value", ErrInvalidHeader, name)
		case !utf8.ValidString(name), !utf8.ValidString(value):
			return fmt.Errorf("%w %q: not UTF-8", ErrInvalidHeader, name)
		}
	}
	return nil
}

// checkText rejects text that some database cannot store in a text column.
func checkText(what, s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%w: %s %q is not UTF-8", ErrInvalidText, what, s)
	}
	if strings.IndexByte(s, 0) >= 0 {
		return fmt.Errorf("%w: %s %q has a NUL byte", ErrInvalidText, what, s)
	}
	return nil
}
