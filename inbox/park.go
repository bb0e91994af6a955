package inbox

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/postroom/postroom/internal/dialect"
)

// Policy says what becomes of a message whose handler fails for good, and of the later
// ones of its key.
type Policy string

// The policies.
const (
	// BlockKey parks the message, and after it every later one of its topic and key, so
	// that none is handled before it. Other keys go on. The default.
	BlockKey Policy = "block-key"
	// Skip parks the message alone: later ones of its key are handled before it.
	Skip Policy = "skip"
	// Halt parks nothing: Process returns an *AttemptsError, and the message is
	// delivered again.
	Halt Policy = "halt"
)

// Limits of what a column of inbox_parked takes.
const (
	maxKey   = 512   // bytes
	maxType  = 255   // characters
	maxError = 4_000 // bytes
)

// Headers under which a parked row keeps what its columns cannot. The prefix is
// Postroom's own on the wire, so that no header of a message has these names.
const (
	headerKey     = "postroom_parked_key"
	headerType    = "postroom_parked_type"
	headerPayload = "postroom_parked_payload_size"
)

// keyText is how a key is written and compared in the tables: as it is, or by its
// hash if it is no text that a column takes.
func keyText(key string) string {
	if len(key) <= maxKey && utf8.ValidString(key) && strings.IndexByte(key, 0) < 0 {
		return key
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(key)))
}

// isText reports whether every database stores s as it is.
func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// bytesValue is how JSON holds bytes that are no text.
type bytesValue struct {
	Base64 []byte `json:"base64"`
}

func headerValue(s string) any {
	if utf8.ValidString(s) {
		return s
	}
	return bytesValue{[]byte(s)}
}

// parkedRow writes m down so that unpark gives it back exactly, except for a payload
// over MaxParkedPayload.
func (ib *Inbox) parkedRow(m Message, state string, attempts int, reason string) (dialect.InboxParkedRow, error) {
	row := dialect.InboxParkedRow{
		InboxRow: m.row(ib.consumer), Topic: m.Topic, Type: m.Type, Payload: m.Payload,
		State: state, Attempts: attempts, Error: readable(reason),
	}
	headers := make(map[string]any, len(m.Headers)+1)
	for name, value := range m.Headers {
		headers[strings.ToValidUTF8(name, "\uFFFD")] = headerValue(value)
	}
	if m.Key != "" {
		key := keyText(m.Key)
		row.Key = &key
		if key != m.Key {
			headers[headerKey] = bytesValue{[]byte(m.Key)}
		}
	}
	if !isText(m.Type) || utf8.RuneCountInString(m.Type) > maxType {
		row.Type, headers[headerType] = "", headerValue(m.Type)
	}
	if len(m.Payload) > MaxParkedPayload {
		row.Payload, headers[headerPayload] = nil, strconv.Itoa(len(m.Payload))
	}
	encoded, err := json.Marshal(headers)
	row.Headers = string(encoded)
	return row, err
}

// unpark is parkedRow's way back. kept is false if the payload was not parked.
func unpark(row dialect.InboxParkedRow) (m Message, kept bool, err error) {
	m = Message{ID: row.MessageID, Topic: row.Topic, Type: row.Type, Payload: row.Payload}
	if at := row.Position; at != nil {
		m.Position = &Position{Topic: at.Topic, Partition: at.Partition, Offset: at.Offset}
	}
	if row.Key != nil {
		m.Key = *row.Key
	}
	var headers map[string]json.RawMessage
	if err := json.Unmarshal([]byte(row.Headers), &headers); err != nil {
		return m, false, fmt.Errorf("the headers of the parked message %q: %w", row.MessageID, err)
	}
	m.Headers = make(map[string]string, len(headers))
	kept = true
	for name, raw := range headers {
		value, err := headerText(raw)
		if err != nil {
			return m, false, fmt.Errorf("header %q of the parked message %q: %w", name, row.MessageID, err)
		}
		switch name {
		case headerKey:
			m.Key = value
		case headerType:
			m.Type = value
		case headerPayload:
			kept = false
		default:
			m.Headers[name] = value
		}
	}
	return m, kept, nil
}

func headerText(raw json.RawMessage) (string, error) {
	if len(raw) > 0 && raw[0] == '{' {
		var b bytesValue
		err := json.Unmarshal(raw, &b)
		return string(b.Base64), err
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err
}

// readable is an error's text as a column takes it.
func readable(reason string) string {
	reason = strings.ToValidUTF8(strings.ReplaceAll(reason, "\x00", ""), "\uFFFD")
	if len(reason) > maxError {
		reason = strings.ToValidUTF8(reason[:maxError], "") + "…"
	}
	return reason
}

// blocks reports whether a failed message makes later ones wait.
func (ib *Inbox) blocks(m Message) bool { return ib.policy == BlockKey && m.Key != "" }

// parkFailed sets m aside in tx, which has accepted it.
func (ib *Inbox) parkFailed(ctx context.Context, tx *sql.Tx, m Message, attempts int, reason string) error {
	if ib.blocks(m) {
		if err := ib.store.Block(ctx, tx, ib.consumer, m.Topic, keyText(m.Key)); err != nil {
			return err
		}
	}
	if err := ib.park(ctx, tx, m, "failed", attempts, reason); err != nil {
		return err
	}
	if ib.deadLetter == nil {
		return nil
	}
	return ib.deadLetter(ctx, tx, m, attempts, reason)
}

// parkBehind sets m aside in tx, which has accepted it, if its key still stands still.
func (ib *Inbox) parkBehind(ctx context.Context, tx *sql.Tx, m Message) (bool, error) {
	blocked, err := ib.store.LockBlocked(ctx, tx, ib.consumer, m.Topic, keyText(m.Key))
	if err != nil || !blocked {
		return false, err
	}
	return true, ib.park(ctx, tx, m, "blocked", 0, "")
}

func (ib *Inbox) park(ctx context.Context, tx *sql.Tx, m Message, state string, attempts int, reason string) error {
	row, err := ib.parkedRow(m, state, attempts, reason)
	if err != nil {
		return err
	}
	return ib.store.Park(ctx, tx, row)
}
