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

// Headers that say why an event was sent. WithCausation sets them.
const (
	// HeaderCorrelationID is the same in all messages of one saga: the id of the saga's first message.
	HeaderCorrelationID = "correlation_id"
	// HeaderCausationID is the id of the message that caused the event.
	HeaderCausationID = "causation_id"
)

// traceHeaders are the headers of W3C Trace Context, https://www.w3.org/TR/trace-context.
var traceHeaders = [...]string{"traceparent", "tracestate", "baggage"}

// carriedHeaders are all headers that WithCausation copies, the least important last.
var carriedHeaders = [...]string{HeaderCausationID, HeaderCorrelationID, "traceparent", "tracestate", "baggage"}

// maxCarried is the length of the longest header value that is copied, in bytes. An event's headers have a limit, and a
// message of another service must not exceed it.
const maxCarried = 1 << 10

// StepHandler applies the effect of a message in tx and returns the events to send because of it, if any.
type StepHandler func(ctx context.Context, tx *sql.Tx, m Message) ([]outbox.Event, error)

// Step runs one step of a saga: it accepts m, runs h and writes h's events to the outbox, all in one transaction. So
// either all of it happens, or nothing. A duplicate sends nothing. The tables of the inbox and of the outbox must be in
// the same database.
//
// The events get the headers of WithCausation. To undo a step later, write another step, the compensation. What Process
// says of handlers and failures applies here as well.
func (ib *Inbox) Step(ctx context.Context, db *sql.DB, ob *outbox.Outbox, m Message, h StepHandler) (Outcome, error) {
	if ob == nil || h == nil {
		return Failed, fmt.Errorf("inbox: step of %q: the outbox or the handler is nil", ib.consumer)
	}
	step := Step(ob, h)
	return ib.Process(ctx, db, m, func(ctx context.Context, tx *sql.Tx) error { return step(ctx, tx, m) })
}

// Step returns a Handler that runs h and writes its events to ob. Use it with inboxkafka's Run, and with Replay.
func Step(ob *outbox.Outbox, h StepHandler) Handler {
	return func(ctx context.Context, tx *sql.Tx, m Message) error {
		events, err := h(ctx, tx, m)
		if err != nil || len(events) == 0 {
			return err
		}
		return ob.Add(ctx, tx, WithCausation(m, events...)...)
	}
}

// WithCausation returns the events with headers that say why they were sent: HeaderCausationID is m's id,
// HeaderCorrelationID is m's correlation id, or else m's id, and the trace context (traceparent, tracestate, baggage)
// is m's. A header that an event already has stays.
//
// A value of m is left out if it is longer than 1 KiB, if an event must not have it, or if there is no room beside the
// event's own headers. A line break in m's id becomes a space. The given events are not changed.
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

// withCarried adds headers of carried to an event's own headers, as far as there is room. JSON may write a byte as six,
// so even a few short values may be too many.
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

// Headers of an event in a dead-letter topic, besides those of the message.
const (
	HeaderDeadLetterConsumer = "dead_letter_consumer"
	HeaderDeadLetterID       = "dead_letter_message_id"
	HeaderDeadLetterTopic    = "dead_letter_topic"
	HeaderDeadLetterAttempts = "dead_letter_attempts"
	HeaderDeadLetterError    = "dead_letter_error"
)

// maxLetterHeaders limits the message's own headers in a dead letter, in bytes. An event's headers have a limit, and it
// must be possible to park every message.
const maxLetterHeaders = 8 << 10

// deadLetters says where messages that failed for good are published.
type deadLetters struct {
	outbox *outbox.Outbox
	topic  string
	set    bool
}

// WithDeadLetter also publishes each message that fails for good to a topic, through an outbox in the same database.
// The transaction that parks the message writes the event, so one is there exactly if the other is. Messages that are
// parked behind another one are not published. The event has the message's key, type, payload and headers, and the
// headers HeaderDeadLetter…, which say what failed and why.
//
// The limits of ob apply to the event: what an event must not have is left out. So a message whose type is longer than
// outbox.MaxType is published without its type, one whose key is longer than outbox.MaxKey without its key, and a
// payload that is too large becomes nil. The row of the parked message has limits of its own.
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
	// Without this check, the first message that fails could not be parked.
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

// oneLine replaces line breaks by spaces, because a header's value must not have any.
func oneLine(s string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(s) }

// eventMayHave reports whether an outbox accepts e's key, type and headers. It ignores the topic and the payload. The
// outbox's own check decides. What it rejects comes from another service, and must not make the write of the event
// fail.
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
	for !headersFit(headers) { // JSON may write a byte as six
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

// headersFit reports whether an event may have the headers. Headers without an error text always fit.
func headersFit(headers map[string]string) bool {
	encoded, err := json.Marshal(headers)
	return err != nil || headers[HeaderDeadLetterError] == "" || len(encoded)+2*len(headers) <= outbox.MaxHeaders
}

// ownHeaders returns the message's headers that an event may have, or nil if they are too large.
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
