package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/ops"
	"github.com/postroom/postroom/internal/store/parked"
)

// parkedEvents describes outbox_parked, for `relay parked`.
var parkedEvents = &parkedTable{
	Parked: ops.ParkedEvents, many: "events", overtakes: true,
	group: parkedText{
		short: "look at events that the sink rejected, send them again or drop them",
		long: `parked is about events that were set aside ("dead letters"): the sink rejected them
(state failed), or they wait behind such an event of their key (state blocked).

list and show read. retry and drop ask: the relay that owns the source does it, in the order
of each key, within a second or so. docs/operations.md says what to do when.

An event is named by its number (SEQ of the list) or by its event id.`,
	},
	list: parkedText{
		short: "list parked events, in the order in which they would be sent again",
		all:   "events of each source", flag: "--topic, --key or --state",
	},
	show: parkedText{
		short: "show everything about one parked event",
		long: `show prints what is known of one parked event, named by its number or its event id. Its
payload may hold what not everybody should see, so it is printed only with --payload: as text
if it is UTF-8, otherwise in hexadecimal (in JSON: base64).`,
	},
	retry: parkedText{
		short: "have parked events sent again, in the order of their keys",
		long: `retry has the relay send parked events again: those that are named, or all rejected ones of a
topic, of a key, or of the source. When a key's rejected event was delivered, the events that
wait behind it follow by themselves, before newer ones.

An event that is overtaken is sent only with --force: later events of its key were delivered
before it, and consumers may see an old value last.`,
		example: `  relay parked retry 17
  relay parked retry --topic orders --key customer-42
  relay parked retry --all`,
		all: "all rejected events of the source",
	},
	drop: parkedText{
		short: "give parked events up: they are deleted, and recorded",
		long: `drop has the relay delete parked events without sending them: those that are named, or all of
a topic, of a key, or of the source. Consumers never get them. The events that wait behind a
dropped one are then sent.

What is dropped is recorded in outbox_drops, without its payload: the event's id, topic and
key, the reason and the error. Until the relay has done it, 'relay parked retry' takes it back.`,
		example: `  relay parked drop 17 --reason 'test order, agreed with billing'
  relay parked drop --topic orders --key customer-42 --reason 'account was deleted'`,
		all: "all parked events of the source, waiting ones too", flag: "it is recorded with them",
	},
	open: parked.Outbox,
	one: func(ctx context.Context, c *config.Config, do func(*database) error) error {
		return onSource(ctx, c, func(d *database) error { return tableError(ctx, d, do(d)) })
	},
	each: func(ctx context.Context, c *config.Config, do func(*database) error) error {
		return eachSource(ctx, c.Sources, func(d *database) error {
			if err := d.checkGivenName(ctx); err != nil {
				return err
			}
			return tableError(ctx, d, do(d))
		}, dbopen.WithExisting())
	},
	known: func(context.Context, *database, string) error { return nil },
	parseID: func(arg string) (parked.ID, bool) {
		id, err := uuid.Parse(arg)
		return parked.ID{Name: id.String()}, err == nil && len(arg) == 36
	},
	view:    func(source string, e parked.Entry) any { return eventView(source, e) },
	columns: []string{"SEQ", "STATE", "TOPIC", "KEY", "TYPE", "EVENT ID", "ATTEMPTS", "PARKED AT", "ERROR"},
	cells: func(e parked.Entry) []string {
		return []string{
			strconv.FormatInt(e.Seq, 10), shownState(e), printable(e.Topic), shownKey(keyJSON(e.Key)),
			dash(printable(e.Type)), e.ID,
			strconv.Itoa(e.Attempts), e.ParkedAt.UTC().Format(time.RFC3339), short(printable(e.Error), 100),
		}
	},
	shown: func(source string, e parked.Entry, p parked.Place, payload payloadJSON) any {
		v := shownEvent{parkedEvent: eventView(source, e), Headers: json.RawMessage(e.Headers), payloadJSON: payload}
		if p.Rows > 0 {
			v.First, v.FirstState, v.Rows = &p.First, p.FirstState, &p.Rows
		}
		return v
	},
	lines:  eventLines,
	answer: answerForEvents,
}

// parkedEvent is an element of `parked list --json`, and most of `parked show --json`.
type parkedEvent struct {
	Source    string    `json:"source"`
	Seq       int64     `json:"seq"`
	State     string    `json:"state"`
	Overtaken bool      `json:"overtaken"`
	ID        int64     `json:"id"` // id of the row in outbox_events
	EventID   string    `json:"event_id"`
	Topic     string    `json:"topic"`
	Key       *string   `json:"key"` // null: no key, or one that is not text
	KeyBase64 string    `json:"key_base64,omitempty"`
	Type      string    `json:"type"`
	Attempts  int       `json:"attempts"`
	Error     string    `json:"error"`
	ParkedAt  time.Time `json:"parked_at"`
	CreatedAt time.Time `json:"created_at"`
	Payload   *int64    `json:"payload_bytes"` // null: no payload
}

func eventView(source string, e parked.Entry) parkedEvent {
	key, base := keyJSON(e.Key)
	return parkedEvent{
		Source: source, Seq: e.Seq, State: e.State, Overtaken: e.Overtaken, ID: e.EventRow, EventID: e.ID,
		Topic: e.Topic,
		Key:   key, KeyBase64: base, Type: e.Type, Attempts: e.Attempts, Error: e.Error, ParkedAt: e.ParkedAt,
		CreatedAt: e.CreatedAt, Payload: sizeJSON(e),
	}
}

// shownEvent is what `parked show --json` prints.
type shownEvent struct {
	parkedEvent
	Headers    json.RawMessage `json:"headers"`
	First      *int64          `json:"first_of_key"` // seq; null: no key
	FirstState string          `json:"first_state,omitempty"`
	Rows       *int64          `json:"parked_of_key"`
	payloadJSON
}

func eventLines(e parked.Entry, p parked.Place) [][2]string {
	ofKey := "-"
	if p.Rows > 0 {
		ofKey = fmt.Sprintf("%s parked, the first is row %d", ops.AtLeast(p.Rows), p.First)
	}
	return append([][2]string{
		{"seq", strconv.FormatInt(e.Seq, 10)},
		{"state", shownState(e) + meaningOfEvent(e, p)},
		{"error", printable(e.Error)},
		{"attempts", strconv.Itoa(e.Attempts)},
		{"parked at", e.ParkedAt.UTC().Format(time.RFC3339Nano)},
		{"event id", e.ID},
		{"topic", printable(e.Topic)},
		{"key", shownKey(keyJSON(e.Key))},
		{"of this key", ofKey},
		{"type", dash(e.Type)},
		{"created at", e.CreatedAt.UTC().Format(time.RFC3339Nano)},
		{"row", fmt.Sprintf("%d in outbox_events, until it was parked", e.EventRow)},
		{"payload", shownSize(e)},
	}, headerLines(e)...)
}

// meaningOfEvent says what the state means, and what an operator can do.
func meaningOfEvent(e parked.Entry, p parked.Place) string {
	switch e.State {
	case db.ParkedFailed:
		if e.Overtaken {
			return ": the sink rejected it, and later events of its key were delivered before it"
		}
		return ": the sink rejected it"
	case db.ParkedBlocked:
		if p.Rows == 0 || p.First == e.Seq {
			return ": waits behind an event of its key"
		}
		return fmt.Sprintf(": waits behind row %d of its key, which is %s", p.First, p.FirstState)
	case db.ParkedRetry:
		return ": the relay is about to send it again"
	case db.ParkedDrop:
		return ": the relay is about to delete it"
	}
	return ""
}

// eventsAnswer is what `parked retry --json` and `parked drop --json` print.
type eventsAnswer struct {
	Source    string `json:"source"`
	Ask       string `json:"ask"`       // retry, drop
	Marked    int64  `json:"marked"`    // events whose state was set
	Followers int64  `json:"followers"` // events that wait behind them
	Owned     bool   `json:"owned"`     // a relay holds the lease, and does it now
}

func answerForEvents(ctx context.Context, d *database, r parked.Request, a parked.Answer) (parkedAnswer, error) {
	s, err := d.tables()
	if err != nil {
		return parkedAnswer{}, err
	}
	owned, err := s.Owned(ctx)
	told := parkedAnswer{
		json: eventsAnswer{d.source.Name, r.State, a.Marked, a.Followers, owned},
		does: map[string]string{db.ParkedRetry: "sent again", db.ParkedDrop: "dropped"},
	}
	if !owned && a.Found {
		told.later = fmt.Sprintf("\nno relay owns source %q now: it happens once `relay run` does", d.source.Name)
	}
	return told, err
}

// parkedMessages describes inbox_parked, for `relay inbox parked`.
var parkedMessages = &parkedTable{
	Parked: ops.ParkedMessages, many: "messages", ofConsumers: true,
	group: parkedText{
		short: "list, retry or drop messages that a consumer has parked",
		long: `parked is about messages that a consumer has parked ("dead letters"). In state failed, the handler
has failed too often. In state blocked, the message waits behind a failed message of its key.

list and show only read. retry and drop mark the messages; the consumer does the rest, in the order
of each key. A running consumer needs about a second. docs/consuming.md says when to do what.

Name a message by its number (SEQ in the list) or by its message id. A name of digits only is a
number.`,
	},
	list: parkedText{
		short: "list parked messages, in the order in which they would be run again",
		all:   "messages", flag: "--consumer, --topic, --key or --state",
	},
	show: parkedText{
		short: "show everything about one parked message",
		long: `show prints what is known of one parked message, named by its number or its message id. Its
payload may hold what not everybody should see, so it is printed only with --payload: as text
if it is UTF-8, otherwise in hexadecimal (in JSON: base64).`,
	},
	retry: parkedText{
		short: "have parked messages run again, in the order of their keys",
		long: `retry has the consumer run parked messages again: those that are named, or all failed ones of a
topic, of a key, or of the database. When a key's failed message was handled, the messages that
wait behind it follow by themselves, before newer ones.`,
		example: `  relay inbox parked retry 17
  relay inbox parked retry --consumer billing --topic orders --key customer-42
  relay inbox parked retry --all`,
		all: "all failed messages",
	},
	drop: parkedText{
		short: "give parked messages up: the consumer deletes them without handling them",
		long: `drop has the consumer delete parked messages: those that are named, or all of a topic, of a key,
or of the database. They take no effect, ever. The messages that wait behind a dropped one are then
handled. Until the consumer has done it, 'relay inbox parked retry' takes it back.

The reason stands with the messages until they are deleted ('relay inbox parked show'). Then the
consumer's log has it, with each message's id and the error for which it was parked.`,
		example: `  relay inbox parked drop 17 --reason 'test order, agreed with billing'
  relay inbox parked drop --topic orders --key customer-42 --reason 'account was deleted'`,
		all:  "all parked messages, waiting ones too",
		flag: "it is kept with them until they are deleted, and in the consumer's log then",
	},
	open: parked.Inbox, one: onInboxOf, each: onInboxOf, known: knownConsumer,
	parseID: func(arg string) (parked.ID, bool) { return parked.ID{Name: arg}, arg != "" },
	view:    func(_ string, e parked.Entry) any { return messageView(e) },
	columns: []string{
		"SEQ", "STATE", "CONSUMER", "TOPIC", "KEY", "TYPE", "MESSAGE ID", "ATTEMPTS", "PARKED AT", "ERROR",
	},
	cells: func(e parked.Entry) []string {
		return []string{
			strconv.FormatInt(e.Seq, 10), e.State, printable(e.Consumer), printable(e.Topic), shownKey(keyJSON(e.Key)),
			dash(printable(e.Type)), printable(e.ID), strconv.Itoa(e.Attempts), e.ParkedAt.UTC().Format(time.RFC3339),
			short(messageError(e, e.Error), 100),
		}
	},
	shown: func(_ string, e parked.Entry, _ parked.Place, payload payloadJSON) any {
		return shownMessage{parkedMessage: messageView(e), Headers: json.RawMessage(e.Headers), payloadJSON: payload}
	},
	lines: messageLines,
	answer: func(_ context.Context, _ *database, r parked.Request, a parked.Answer) (parkedAnswer, error) {
		return parkedAnswer{
			json:  messagesAnswer{r.State, a.Marked, a.Followers},
			does:  map[string]string{db.ParkedRetry: "run again", db.ParkedDrop: "dropped"},
			owner: " by the consumer, if it runs",
		}, nil
	},
}

// parkedMessage is an element of `inbox parked list --json`, and most of `inbox parked show --json`.
type parkedMessage struct {
	Seq       int64     `json:"seq"`
	State     string    `json:"state"`
	Consumer  string    `json:"consumer"`
	MessageID string    `json:"message_id"`
	Topic     string    `json:"topic"`
	Key       *string   `json:"key"` // null: no key, or one that is not text
	KeyBase64 string    `json:"key_base64,omitempty"`
	Type      string    `json:"type"`
	Attempts  int       `json:"attempts"`
	Error     string    `json:"error"`
	ParkedAt  time.Time `json:"parked_at"`
	Position  *position `json:"position"` // null: the transport has no positions
	Payload   *int64    `json:"payload_bytes"`
}

type position struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// shownMessage is what `inbox parked show --json` prints.
type shownMessage struct {
	parkedMessage
	Headers json.RawMessage `json:"headers"`
	payloadJSON
}

// messagesAnswer is what `inbox parked retry --json` and `inbox parked drop --json` print.
type messagesAnswer struct {
	Ask       string `json:"ask"`       // retry, drop
	Marked    int64  `json:"marked"`    // messages whose state was set
	Followers int64  `json:"followers"` // messages that wait behind them
}

func messageView(e parked.Entry) parkedMessage {
	key, base := keyJSON(e.Key)
	return parkedMessage{
		Seq: e.Seq, State: e.State, Consumer: e.Consumer, MessageID: e.ID, Topic: e.Topic, Key: key, KeyBase64: base,
		Type: e.Type, Attempts: e.Attempts, Error: e.Error, ParkedAt: e.ParkedAt, Position: (*position)(e.Position),
		Payload: sizeJSON(e),
	}
}

func messageLines(e parked.Entry, _ parked.Place) [][2]string {
	readFrom := "-"
	if p := e.Position; p != nil {
		readFrom = fmt.Sprintf("%s/%d@%d", printable(p.Topic), p.Partition, p.Offset)
	}
	meaning := map[string]string{
		db.ParkedFailed:  ": the consumer gave it up",
		db.ParkedBlocked: ": waits behind a message of its key",
		db.ParkedRetry:   ": the consumer is about to run it again",
		db.ParkedDrop:    ": the consumer is about to delete it",
	}[e.State]
	// After a panic the stack follows, one line for each call.
	text, stack, _ := strings.Cut(e.Error, "\n\n")
	lines := append([][2]string{
		{"seq", strconv.FormatInt(e.Seq, 10)},
		{"state", e.State + meaning},
		{"error", messageError(e, text)},
		{"attempts", strconv.Itoa(e.Attempts)},
		{"parked at", e.ParkedAt.UTC().Format(time.RFC3339Nano)},
		{"consumer", printable(e.Consumer)},
		{"message id", printable(e.ID)},
		{"topic", printable(e.Topic)},
		{"key", shownKey(keyJSON(e.Key))},
		{"type", dash(e.Type)},
		{"read from", readFrom},
		{"payload", shownSize(e)},
	}, headerLines(e)...)
	for l := range strings.Lines(stack) {
		indent := map[bool]string{true: "    "}[strings.HasPrefix(l, "\t")]
		lines = append(lines, [2]string{"", indent + printable(strings.TrimSpace(l))})
	}
	return lines
}

// messageError returns the error, or its first part, as text for people. A message that waits has no error of
// its own.
func messageError(e parked.Entry, text string) string {
	switch {
	case text == "" && e.State == db.ParkedBlocked:
		return "waits behind an earlier message of its key"
	case text == "":
		return "-"
	}
	return printable(text)
}
