package inbox

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/inbox"
)

// Limits of the columns of inbox_parked. A message may exceed them; an event of package outbox has limits of its own.
const (
	maxParkedKey     = 512     // bytes
	maxParkedType    = 255     // characters
	maxParkedHeaders = 1 << 20 // bytes, in JSON

	maxError = db.MaxParkedError
)

// Headers in which a parked row stores what its columns cannot store. Postroom's own prefix makes sure that no header
// of a message has these names.
const (
	headerKey     = "postroom_parked_key"
	headerType    = "postroom_parked_type"
	headerPayload = "postroom_parked_payload_size"
	headerHeaders = "postroom_parked_headers_size"
	headerName    = "postroom_parked_name_" // followed by a header's name that is not UTF-8, in base64
)

// keyText returns a key in the form in which the tables store and compare it: unchanged, or its hash if a text column
// cannot store the key.
func keyText(key string) string {
	if len(key) <= maxParkedKey && utf8.ValidString(key) && strings.IndexByte(key, 0) < 0 {
		return key
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(key)))
}

// isText reports whether every database stores s unchanged.
func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// bytesValue is the form of bytes that are not UTF-8 in JSON.
type bytesValue struct {
	Base64 []byte `json:"base64"`
}

func headerValue(s string) any {
	if utf8.ValidString(s) {
		return s
	}
	return bytesValue{[]byte(s)}
}

// parkedRow returns m as a row, from which unpark restores it exactly. What is too large for a row is left out, and
// also what is larger than room, the bytes that fit into a statement.
func (ib *Inbox) parkedRow(m Message, state string, attempts int, reason string, room int) (
	row store.ParkedRow, err error) {
	row = store.ParkedRow{Row: m.row(ib.consumer), Topic: m.Topic, Type: m.Type, State: state,
		Attempts: attempts}
	own := make(map[string]any, 4)
	if m.Key != "" {
		key := keyText(m.Key)
		row.Key = &key
		if key != m.Key {
			own[headerKey] = bytesValue{[]byte(m.Key)}
		}
	}
	if !isText(m.Type) || utf8.RuneCountInString(m.Type) > maxParkedType {
		row.Type, own[headerType] = "", headerValue(m.Type)
	}
	var left []string
	if row.Headers, err = headersJSON(m.Headers, own); err != nil {
		return row, err
	}
	if size := len(row.Headers); size > min(maxParkedHeaders, room) {
		left = append(left, fmt.Sprintf("headers of %d bytes", size))
		own[headerHeaders] = strconv.Itoa(size)
		if row.Headers, err = headersJSON(nil, own); err != nil {
			return row, err
		}
	}
	row.Payload = m.Payload
	if size := len(m.Payload); size > min(MaxParkedPayload, room-len(row.Headers)) {
		left = append(left, fmt.Sprintf("payload of %d bytes", size))
		row.Payload, own[headerPayload] = nil, strconv.Itoa(size)
		headers := m.Headers
		if own[headerHeaders] != nil {
			headers = nil
		}
		if row.Headers, err = headersJSON(headers, own); err != nil {
			return row, err
		}
	}
	row.Error = withLeft(readable(reason), left, m.Position)
	return row, nil
}

// withLeft adds to the reason what was too large to be parked, and where it is.
func withLeft(reason string, left []string, at *Position) string {
	if len(left) == 0 {
		return reason
	}
	text := "its " + strings.Join(left, " and ") + " was too large to be parked with it"
	if at != nil {
		text += ", and is at " + at.String()
	}
	if reason == "" {
		return text
	}
	return reason + " (" + text + ")"
}

func headersJSON(headers map[string]string, own map[string]any) (string, error) {
	all := make(map[string]any, len(headers)+len(own))
	for name, value := range headers {
		if !utf8.ValidString(name) {
			name = headerName + base64.RawURLEncoding.EncodeToString([]byte(name))
		}
		all[name] = headerValue(value)
	}
	maps.Copy(all, own)
	encoded, err := json.Marshal(all)
	return string(encoded), err
}

// unpark is the reverse of parkedRow. kept is false if the payload was not parked.
func unpark(row store.ParkedRow) (m Message, kept bool, err error) {
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
		case headerPayload, headerHeaders:
			kept = false
		default:
			m.Headers[parkedName(name)] = value
		}
	}
	return m, kept, nil
}

// parkedName returns the name that a header had in the message.
func parkedName(name string) string {
	if encoded, ok := strings.CutPrefix(name, headerName); ok {
		if bytes, err := base64.RawURLEncoding.DecodeString(encoded); err == nil {
			return string(bytes)
		}
	}
	return name
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

// readable returns the text of an error in a form that a column can store.
func readable(reason string) string {
	reason = strings.ToValidUTF8(strings.ReplaceAll(reason, "\x00", ""), "\uFFFD")
	if len(reason) > maxError {
		reason = strings.ToValidUTF8(reason[:maxError], "") + "…"
	}
	return reason
}
