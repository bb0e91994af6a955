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

// Decoder converts a record into a message. It sets ID, Type, Headers and Payload (nil for a null value); the consumer
// sets the other fields. An error says why the record cannot be handled, and must not contain the value.
// Config.OnUndecodable says what happens then. Several goroutines call a Decoder at the same time. It must neither keep
// nor change the record.
type Decoder func(r *kgo.Record) (inbox.Message, error)

// ErrNoID is returned by the decoders of this package for a record without an id.
var ErrNoID = errors.New("the record has no message id")

// Headers of the formats that Decode recognises.
const (
	headerWatermill   = "_watermill_message_uuid" // of Watermill and Postroom
	headerName        = "name"                    // the event's type, as in Watermill's CQRS
	headerDebezium    = "id"                      // of Debezium's outbox event router; others may use it for anything
	headerEventType   = "eventType"               // of Debezium's outbox event router, if it is configured
	headerContentType = "content-type"
	cePrefix          = "ce_"
	ceStructured      = "application/cloudevents+json"
	ceBatch           = "application/cloudevents-batch+json"
)

// Decode recognises the format by the record's headers, in this order:
//
//   - Watermill's format, which Postroom uses: id _watermill_message_uuid, type `name`.
//   - CloudEvents: structured mode by the content type application/cloudevents+json, binary mode by the headers ce_id
//     and ce_source. The message id is source, space, id, because a CloudEvents id is unique only within its source.
//     Attributes become headers with the prefix ce_.
//
// Other records have no id: use DecodeDebezium, HeaderID or your own Decoder. Decode does not use a header with the
// name `id`. Many producers put the id of a customer or an order there, and then all changes of that customer except
// the first one would count as duplicates (hazard wrong-id-header).
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
		return inbox.Message{}, errors.New("a record with a batch of CloudEvents has several messages: produce each " +
			"event as one record")
	case ceID, ceVersion:
		return binaryCloudEvent(headers, r.Value)
	case has(headers, headerDebezium):
		return inbox.Message{}, fmt.Errorf("%w: its header %q may be the id of anything; if Debezium's outbox event "+
			"router wrote it, set Decode to DecodeDebezium; if it is unique for each message, set Decode to "+
			"HeaderID(%[2]q)", ErrNoID, headerDebezium)
	}
	return inbox.Message{}, fmt.Errorf("%w: it has neither the header %s nor %sid; if another header has the id, use "+
		"HeaderID",
		ErrNoID, headerWatermill, cePrefix)
}

// DecodeDebezium is a Decoder for topics of Debezium's outbox event router. The id is in the header `id`, the type in
// `eventType`. Both may be JSON strings, as Debezium's JSON header converter writes them. See
// https://debezium.io/documentation/reference/stable/transformations/outbox-event-router.html.
func DecodeDebezium(r *kgo.Record) (inbox.Message, error) {
	headers := headersOf(r)
	id := unquote(headers[headerDebezium])
	if id == "" {
		return inbox.Message{}, fmt.Errorf("%w: the header %q is missing or empty", ErrNoID, headerDebezium)
	}
	return message(id, unquote(headers[headerEventType]), headers, r.Value), nil
}

// HeaderID returns a Decoder for records that have the id in the given header. The type is in the header `name`, if
// that exists. The ids must be unique over all producers.
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

// headersOf returns the record's headers. If two headers have the same name, the last one counts, as in Watermill.
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

// unquote decodes a header that a JSON converter wrote: "text", or {"schema":…,"payload":"text"}.
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
