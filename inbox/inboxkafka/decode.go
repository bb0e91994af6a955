package inboxkafka

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
)

// Decoder makes a message of a record: ID, Type, Headers and Payload (nil for a null
// value). The rest is filled in by the consumer. An error says why the record cannot be
// handled, without quoting its value; Config.OnUndecodable says what follows. It is called
// by several goroutines, and must not keep or change the record.
type Decoder func(r *kgo.Record) (inbox.Message, error)

// ErrNoID is returned by the decoders of this package for a record without an id.
var ErrNoID = errors.New("the record has no message id")

// Headers that tell a format.
const (
	headerWatermill   = "_watermill_message_uuid" // Watermill's, and so Postroom's
	headerName        = "name"                    // the event's type, as Watermill's CQRS has it
	headerDebezium    = "id"                      // Debezium's outbox event router; of others, anything
	headerEventType   = "eventType"               // the same, if its configuration places it there
	headerContentType = "content-type"
	cePrefix          = "ce_"
	ceStructured      = "application/cloudevents+json"
	ceBatch           = "application/cloudevents-batch+json"
)

// Decode recognises the format by the record's headers, in this order:
//
//   - Watermill's wire, and so Postroom's: id _watermill_message_uuid, type `name`.
//   - CloudEvents: structured by the content type application/cloudevents+json, binary by the
//     headers ce_id and ce_source. The id is source, space, id, for CloudEvents' ids are
//     unique within one source only. Attributes become headers with ce_ before them.
//
// Anything else has no id: give DecodeDebezium, HeaderID or a Decoder of your own. A header
// that is merely called `id` is not taken for one: many producers put the id of a customer or an
// order there, and all changes of that customer but the first would be dropped as duplicates
// (hazard wrong-id-header).
func Decode(r *kgo.Record) (inbox.Message, error) {
	headers := headersOf(r)
	contentType := mediaType(headers[headerContentType])
	_, ceID := headers[cePrefix+"id"]
	_, ceVersion := headers[cePrefix+"specversion"]
	switch {
	case has(headers, headerWatermill):
		return message(headers[headerWatermill], headers[headerName], headers, r.Value), nil
	case contentType == ceStructured:
		return structuredCloudEvent(headers, r.Value)
	case contentType == ceBatch:
		return inbox.Message{}, errors.New("a batch of CloudEvents in one record is several messages: produce them one by " +
			"one")
	case ceID, ceVersion:
		return binaryCloudEvent(headers, r.Value)
	case has(headers, headerDebezium):
		return inbox.Message{}, fmt.Errorf("%w: its header %q may be the id of anything; "+
			"if Debezium's outbox event router wrote it, set Decode to DecodeDebezium, and to HeaderID(%[2]q) if every message "+
			"has another one", ErrNoID, headerDebezium)
	}
	return inbox.Message{}, fmt.Errorf("%w: neither the header %s nor %sid is there; for another one use HeaderID",
		ErrNoID, headerWatermill, cePrefix)
}

// DecodeDebezium is a Decoder for topics that Debezium's outbox event router writes, with its
// header names: id `id`, type `eventType`. Both may be JSON strings, as its JSON header converter
// writes them. See https://debezium.io/documentation/reference/stable/transformations/outbox-event-router.html.
func DecodeDebezium(r *kgo.Record) (inbox.Message, error) {
	headers := headersOf(r)
	id := unquote(headers[headerDebezium])
	if id == "" {
		return inbox.Message{}, fmt.Errorf("%w: the header %q is missing or empty", ErrNoID, headerDebezium)
	}
	return message(id, unquote(headers[headerEventType]), headers, r.Value), nil
}

// HeaderID returns a Decoder for records whose id is in the named header; the type is in
// the header `name`, if any. The ids must be unique over all producers.
func HeaderID(header string) Decoder {
	return func(r *kgo.Record) (inbox.Message, error) {
		headers := headersOf(r)
		if !has(headers, header) {
			return inbox.Message{}, fmt.Errorf("%w: the header %q is missing or empty", ErrNoID, header)
		}
		return message(headers[header], headers[headerName], headers, r.Value), nil
	}
}

func message(id, typ string, headers map[string]string, payload []byte) inbox.Message {
	return inbox.Message{ID: id, Type: typ, Headers: headers, Payload: payload}
}

// headersOf returns the record's headers. Of two with one name the last counts, as it
// does for Watermill.
func headersOf(r *kgo.Record) map[string]string {
	headers := make(map[string]string, len(r.Headers))
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	return headers
}

func has(headers map[string]string, name string) bool { return headers[name] != "" }

func mediaType(header string) string {
	parsed, _, err := mime.ParseMediaType(header)
	if err != nil {
		return ""
	}
	return parsed
}

// unquote reads a header that a JSON converter wrote: "text", or {"schema":…,"payload":"text"}.
func unquote(s string) string {
	var text string
	var enveloped struct {
		Schema  *json.RawMessage `json:"schema"`
		Payload *string          `json:"payload"`
	}
	switch {
	case strings.HasPrefix(s, `"`) && json.Unmarshal([]byte(s), &text) == nil:
		return text
	case strings.HasPrefix(s, "{") && json.Unmarshal([]byte(s), &enveloped) == nil && enveloped.Schema != nil &&
		enveloped.Payload != nil:
		return *enveloped.Payload
	}
	return s
}
