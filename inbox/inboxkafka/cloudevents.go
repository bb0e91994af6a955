package inboxkafka

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/postroom/postroom/inbox"
)

// The CloudEvents specification 1.0: its Kafka protocol binding (binary and structured
// content mode) and its JSON event format.

func binaryCloudEvent(headers map[string]string, payload []byte) (inbox.Message, error) {
	id, err := cloudEventID(headers[cePrefix+"source"], headers[cePrefix+"id"])
	if err != nil {
		return inbox.Message{}, err
	}
	return message(id, headers[cePrefix+"type"], headers, payload), nil
}

// cloudEventID returns an id that is unique over all sources. A source is a URI reference, which has no spaces. With a
// space in it, two events could have the same id ("a b"+"c", "a"+"b c").
func cloudEventID(source, id string) (string, error) {
	switch {
	case id == "":
		return "", fmt.Errorf("%w: the CloudEvent has no id", ErrNoID)
	case source == "":
		return "", fmt.Errorf("%w: the CloudEvent %q has no source, and ids are unique only within a source", ErrNoID,
			id)
	case strings.Contains(source, " "):
		return "", fmt.Errorf("the source of the CloudEvent %q has a space, so it is not a URI reference", id)
	}
	return source + " " + id, nil
}

func structuredCloudEvent(headers map[string]string, value []byte) (inbox.Message, error) {
	var event map[string]json.RawMessage
	if err := json.Unmarshal(value, &event); err != nil {
		return inbox.Message{}, errors.New("the value is not a CloudEvent: it is not a JSON object")
	}
	payload, err := cloudEventData(event)
	if err != nil {
		return inbox.Message{}, err
	}
	delete(headers, headerContentType) // the content type of the envelope
	for name, raw := range event {
		switch name {
		case "data", "data_base64":
		case "datacontenttype":
			headers[headerContentType] = attribute(raw)
		default:
			headers[cePrefix+name] = attribute(raw)
		}
	}
	return binaryCloudEvent(headers, payload)
}

// attribute returns a string unchanged, and a number or boolean as in JSON.
func attribute(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil && !bytes.Equal(raw, []byte("null")) {
		return text
	}
	if bytes.Equal(raw, []byte("null")) {
		return "" // like a missing attribute
	}
	return string(raw)
}

// cloudEventData returns the value that the same event has in binary mode.
func cloudEventData(event map[string]json.RawMessage) ([]byte, error) {
	data, encoded := event["data"], event["data_base64"]
	if len(encoded) > 0 && !bytes.Equal(encoded, []byte("null")) {
		var text string
		if err := json.Unmarshal(encoded, &text); err != nil {
			return nil, errors.New("data_base64 of the CloudEvent is not a string")
		}
		decoded, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, errors.New("data_base64 of the CloudEvent is not base64")
		}
		return decoded, nil
	}
	if len(data) == 0 || bytes.Equal(data, []byte("null")) {
		return nil, nil
	}
	var text string
	if !isJSON(attribute(event["datacontenttype"])) && json.Unmarshal(data, &text) == nil {
		return []byte(text), nil
	}
	return data, nil
}

// isJSON reports whether data of this type is a JSON value and not text in a string. Data without a type is JSON.
func isJSON(contentType string) bool {
	media := mediaType(contentType)
	return contentType == "" || strings.HasSuffix(media, "/json") || strings.HasSuffix(media, "+json")
}
