package dialect

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
)

// EventRow is a row to insert into outbox_events or outbox_scheduled. An empty Key is
// stored as NULL.
type EventRow struct {
	EventID uuid.UUID
	Topic   string
	Key     string
	Type    string
	Payload []byte // nil: NULL
	Headers string // a JSON object

	DeliverAt time.Time // of whole microseconds; in outbox_scheduled only
}

// EventKey is what order is kept by.
type EventKey struct{ Topic, Key string }

// Outbox writes events for one installation of the tables. Safe for concurrent use.
type Outbox struct {
	names     Names
	events    insertion
	scheduled insertion
	lock      keyLocker
	maxParams int
}

// insertion is an INSERT into one of the two tables that hold events to deliver.
type insertion struct {
	head      string // INSERT … VALUES, without the rows
	columns   int
	deliverAt string // the layout of the last column; empty: there is none
}

type keyLocker func(ctx context.Context, tx Execer, n Names, keys []EventKey) error

// NewOutbox returns the writer for n, which must be valid.
func NewOutbox(n Names) (*Outbox, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	o := &Outbox{
		names:     n,
		events:    insertion{head: n.Expand(insertEvents), columns: eventColumns},
		scheduled: insertion{head: n.Expand(insertScheduled), columns: eventColumns + 1, deliverAt: n.TimeLayout()},
	}
	switch n.Dialect {
	case PostgreSQL:
		o.lock, o.maxParams = lockKeysPostgres, 65535
	case MySQL:
		o.lock, o.maxParams = lockKeysMySQL, 65535
	case SQLite:
		o.lock, o.maxParams = lockKeysSQLite, 32766
	}
	return o, nil
}

const insertEvents = `INSERT INTO {outbox_events} (event_id, topic, event_key, event_type, payload, headers) VALUES `

const insertScheduled = `INSERT INTO {outbox_scheduled} (event_id, topic, event_key, event_type, payload, headers, deliver_at) VALUES `

const eventColumns = 6

// maxStatementBytes keeps a statement below MariaDB's default max_allowed_packet of
// 16 MiB wherever more than one event is in it, even when the driver puts the values
// into the text (interpolateParams) and has to escape every byte of them; a larger
// event goes alone.
const maxStatementBytes = 7 << 20

// rowOverhead is what a row adds to the statement besides its values: the event id,
// placeholders or quotes, and the driver's framing.
const rowOverhead = 128

// InsertEvents writes rows in order: the ids that the database gives them ascend.
func (o *Outbox) InsertEvents(ctx context.Context, tx Execer, rows []EventRow) error {
	return o.insert(ctx, tx, o.events, rows)
}

// insert writes rows in as few statements as possible.
func (o *Outbox) insert(ctx context.Context, tx Execer, into insertion, rows []EventRow) error {
	for len(rows) > 0 {
		n := o.fitting(into, rows)
		if _, err := tx.ExecContext(ctx, o.statement(into, n), o.args(into, rows[:n])...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// fitting says how many of the rows one statement can take; at least one.
func (o *Outbox) fitting(into insertion, rows []EventRow) int {
	most, size := o.maxParams/into.columns, 0
	for i, r := range rows {
		size += len(r.Payload) + len(r.Headers) + len(r.Key) + len(r.Topic) + len(r.Type) + rowOverhead
		if i > 0 && (i >= most || size > maxStatementBytes) {
			return i
		}
	}
	return len(rows)
}

func (o *Outbox) statement(into insertion, rows int) string {
	var b strings.Builder
	b.Grow(len(into.head) + rows*45)
	b.WriteString(into.head)
	for i := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		if o.names.Dialect == PostgreSQL {
			writeNumbered(&b, i*into.columns, into.columns)
		} else {
			b.WriteString("(?" + strings.Repeat(", ?", into.columns-1) + ")")
		}
	}
	return b.String()
}

func (o *Outbox) args(into insertion, rows []EventRow) []any {
	args := make([]any, 0, len(rows)*into.columns)
	for _, r := range rows {
		// An untyped nil is NULL with every driver; a nil []byte is an empty value with some.
		var key, payload any
		if r.Key != "" {
			key = o.names.KeyArg(r.Key)
		}
		if r.Payload != nil {
			payload = r.Payload
		}
		args = append(args, r.EventID.String(), r.Topic, key, r.Type, payload, r.Headers)
		if into.deliverAt != "" {
			args = append(args, r.DeliverAt.UTC().Format(into.deliverAt))
		}
	}
	return args
}

// LockKeys takes a lock per key that lasts until the transaction ends.
func (o *Outbox) LockKeys(ctx context.Context, tx Execer, keys []EventKey) error {
	if len(keys) == 0 {
		return nil
	}
	return o.lock(ctx, tx, o.names, keys)
}
