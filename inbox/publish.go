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

// Headers that a step's events carry on.
const (
	// HeaderCorrelationID is the same in all messages of one saga: the id of its first.
	HeaderCorrelationID = "correlation_id"
	// HeaderCausationID is the id of the message that a message answers.
	HeaderCausationID = "causation_id"
)

// traceHeaders are those of W3C Trace Context, https://www.w3.org/TR/trace-context.
var traceHeaders = [...]string{"traceparent", "tracestate", "baggage"}

// carriedHeaders are all that are carried on, the least needed last.
var carriedHeaders = [...]string{HeaderCausationID, HeaderCorrelationID, "traceparent", "tracestate", "baggage"}

// maxCarried is the longest header value that is carried on, in bytes: an event's
// headers have a limit, and a message from elsewhere must not exceed it for us.
const maxCarried = 1 << 10

// StepHandler applies the effect of a message in tx and returns the events that answer
// it, if any.
type StepHandler func(ctx context.Context, tx *sql.Tx, m Message) ([]outbox.Event, error)

// Step runs one step of a saga: it accepts m, runs h and writes h's events to the outbox,
// all in one transaction. Either the message is handled, its effect is there and its
// events will be delivered, or none of it; a duplicate does nothing and sends nothing.
// The inbox's and the outbox's tables must be in the same database.
//
// The events carry on what WithCausation says. A step that is to be undone later is answered by
// another step, the compensation, which is written the same way. All that Process says
// of handlers and failures holds.
func (ib *Inbox) Step(ctx context.Context, db *sql.DB, ob *outbox.Outbox, m Message, h StepHandler) (Outcome, error) {
	if ob == nil || h == nil {
		return Failed, fmt.Errorf("inbox: step of %q: the outbox or the handler is nil", ib.consumer)
	}
	step := Step(ob, h)
	return ib.Process(ctx, db, m, func(ctx context.Context, tx *sql.Tx) error { return step(ctx, tx, m) })
}

// Step makes of a step a Handler, for what runs handlers: inboxkafka's Run, and Replay.
func Step(ob *outbox.Outbox, h StepHandler) Handler {
	return func(ctx context.Context, tx *sql.Tx, m Message) error {
		events, err := h(ctx, tx, m)
		if err != nil || len(events) == 0 {
			return err
		}
		return ob.Add(ctx, tx, WithCausation(m, events...)...)
	}
}

// WithCausation returns the events with the headers that tell why they were sent, where they do
// not set them: HeaderCausationID is m's id, HeaderCorrelationID m's own or else its id,
// and m's trace context (traceparent, tracestate, baggage). m's values that an event may
// not have, or that are longer than 1 KiB, are left out, and so is what an event has no
// room for beside its own headers; a line break in m's id is a space. The events given
// are not changed.
func WithCausation(m Message, events ...outbox.Event) []outbox.Event {
	carried := map[string]string{}
	carry := func(name, value string) {
		if value != "" && len(value) <= maxCarried &&
			eventMayHave(outbox.Event{Headers: map[string]string{name: value}}) {
			carried[name] = value
		}
	}
	carry(HeaderCausationID, oneLine(m.ID))
	carry(HeaderCorrelationID, oneLine(m.ID))
	carry(HeaderCorrelationID, m.Headers[HeaderCorrelationID])
	for _, name := range traceHeaders {
		carry(name, m.Headers[name])
	}
	caused := make([]outbox.Event, len(events))
	for n, e := range events {
		e.Headers = withCarried(e.Headers, carried)
		caused[n] = e
	}
	return caused
}

// withCarried adds to an event's own headers those of carried for which there is room.
// JSON writes a byte as up to six, so that even a few short values may be too many.
func withCarried(own, carried map[string]string) map[string]string {
	headers := maps.Clone(carried)
	maps.Copy(headers, own)
	for n := len(carriedHeaders) - 1; n >= 0 && !eventMayHave(outbox.Event{Headers: headers}); n-- {
		if name := carriedHeaders[n]; own[name] == "" {
			delete(headers, name)
		}
	}
	return headers
}

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
		if err := dead.outbox.Add(ctx, tx, letter(dead.topic, consumer, m, attempts, reason,
			min(MaxParkedPayload, dead.outbox.Settings().MaxPayload))); err != nil {
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
		if strings.HasPrefix(name, "dead_letter_") ||
			!eventMayHave(outbox.Event{Headers: map[string]string{name: value}}) {
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
