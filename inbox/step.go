package inbox

import (
	"context"
	"database/sql"
	"fmt"
	"maps"

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
		if value != "" && len(value) <= maxCarried && eventMayHave(outbox.Event{Headers: map[string]string{name: value}}) {
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
