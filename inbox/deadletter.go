package inbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/postroom/postroom/outbox"
)

// Headers of an event in a dead-letter topic, beside those of the message.
const (
	HeaderDeadLetterConsumer = "dead_letter_consumer"
	HeaderDeadLetterID       = "dead_letter_message_id"
	HeaderDeadLetterTopic    = "dead_letter_topic"
	HeaderDeadLetterAttempts = "dead_letter_attempts"
	HeaderDeadLetterError    = "dead_letter_error"
)

// maxLetterHeaders is how many bytes of the message's own headers go with it: an
// event's headers have a limit, and no message may be impossible to park.
const maxLetterHeaders = 8 << 10

// deadLetters is where messages that failed for good are published.
type deadLetters struct {
	outbox *outbox.Outbox
	topic  string
	set    bool
}

// WithDeadLetter publishes each message that fails for good to a topic as well, through an
// outbox in the same database: in the transaction that parks the message, and so exactly if it
// is parked. Messages that wait behind one are not published. The event has the message's key,
// type, payload and headers, as far as an event may have them, and the headers
// HeaderDeadLetter…, which say what failed and why.
func WithDeadLetter(ob *outbox.Outbox, topic string) Option {
	return func(c *config) { c.dead = deadLetters{ob, topic, true} }
}

func (d deadLetters) validate() error {
	switch {
	case !d.set:
		return nil
	case d.outbox == nil || d.topic == "":
		return errors.New("WithDeadLetter: want an outbox and a topic")
	}
	// Found out at the first message that fails, it would be one that cannot be parked.
	if err := d.outbox.Check(outbox.Event{Topic: d.topic}); err != nil {
		return fmt.Errorf("WithDeadLetter: %w", err)
	}
	return nil
}

func (c *config) deadLetters() func(context.Context, *sql.Tx, Message, int, string) error {
	if !c.dead.set {
		return nil
	}
	dead, consumer := c.dead, c.consumer
	return func(ctx context.Context, tx *sql.Tx, m Message, attempts int, reason string) error {
		if err := dead.outbox.Add(ctx, tx, letter(dead.topic, consumer, m, attempts, reason, min(MaxParkedPayload, dead.outbox.Settings().MaxPayload))); err != nil {
			return fmt.Errorf("write it to the dead-letter topic %q: %w", dead.topic, err)
		}
		return nil
	}
}

// oneLine is s as a header holds it, whose value has no line breaks.
func oneLine(s string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(s) }

// eventMayHave reports whether an outbox takes e's key, type and headers; its topic and
// payload are not looked at. The rule is the outbox's own: what it refuses comes from
// elsewhere, and must not fail what the message leads to.
func eventMayHave(e outbox.Event) bool {
	e.Topic, e.Payload = "-", nil
	return new(outbox.Outbox).Check(e) == nil
}

func letter(topic, consumer string, m Message, attempts int, reason string, most int) outbox.Event {
	headers := map[string]string{
		HeaderDeadLetterConsumer: oneLine(consumer),
		HeaderDeadLetterID:       oneLine(m.ID),
		HeaderDeadLetterTopic:    oneLine(m.Topic),
		HeaderDeadLetterAttempts: strconv.Itoa(attempts),
		HeaderDeadLetterError:    oneLine(readable(withoutStack(reason))),
	}
	if own := ownHeaders(m); own != nil {
		maps.Copy(own, headers)
		if headersFit(own) {
			headers = own
		}
	}
	for !headersFit(headers) { // JSON writes a byte as up to six
		text := headers[HeaderDeadLetterError]
		headers[HeaderDeadLetterError] = strings.ToValidUTF8(text[:len(text)/2], "")
	}
	e := outbox.Event{Topic: topic, Headers: headers}
	if eventMayHave(outbox.Event{Key: m.Key}) {
		e.Key = m.Key
	}
	if eventMayHave(outbox.Event{Type: m.Type}) {
		e.Type = m.Type
	}
	if len(m.Payload) <= most {
		e.Payload = m.Payload
	}
	return e
}

// headersFit reports whether an event may have the headers. Without an error they always fit.
func headersFit(headers map[string]string) bool {
	encoded, err := json.Marshal(headers)
	return err != nil || headers[HeaderDeadLetterError] == "" || len(encoded)+2*len(headers) <= outbox.MaxHeaders
}

// ownHeaders are the message's headers that an event may have; none if they are too many.
func ownHeaders(m Message) map[string]string {
	own, size := map[string]string{}, 0
	for name, value := range m.Headers {
		if strings.HasPrefix(name, "dead_letter_") || !eventMayHave(outbox.Event{Headers: map[string]string{name: value}}) {
			continue
		}
		own[name] = value
		size += len(name) + len(strconv.Quote(value)) + 8
	}
	if size > maxLetterHeaders {
		return nil
	}
	return own
}
