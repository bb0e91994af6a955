package dialect

import (
	"context"
	"strings"

	"github.com/google/uuid"
)

// Default names of the tables, for Names.Table.
const (
	Events   = "outbox_events"
	Parked   = "outbox_parked"
	Leases   = "outbox_leases"
	KeyLocks = "outbox_key_locks"
	Archive  = "outbox_archive"
)

// EventRow is a row to insert into outbox_events. An empty Key is stored as NULL.
type EventRow struct {
	EventID uuid.UUID
	Topic   string
	Key     string
	Type    string
	Payload []byte // nil: NULL
	Headers string // a JSON object
}

// EventKey is what order is kept by.
type EventKey struct{ Topic, Key string }

// Outbox writes events for one installation of the tables. Safe for concurrent use.
type Outbox struct {
	names     Names
	head      string // INSERT … VALUES, without the rows
	lock      keyLocker
	maxParams int
}

type keyLocker func(ctx context.Context, tx Execer, n Names, keys []EventKey) error

// NewOutbox returns the writer for n, which must be valid.
func NewOutbox(n Names) (*Outbox, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	o := &Outbox{names: n, head: n.Expand(insertEvents)}
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
	for len(rows) > 0 {
		n := o.fitting(rows)
		if _, err := tx.ExecContext(ctx, o.statement(n), o.args(rows[:n])...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// fitting says how many of the rows one statement can take; at least one.
func (o *Outbox) fitting(rows []EventRow) int {
	most, size := o.maxParams/eventColumns, 0
	for i, r := range rows {
		size += len(r.Payload) + len(r.Headers) + len(r.Key) + len(r.Topic) + len(r.Type) + rowOverhead
		if i > 0 && (i >= most || size > maxStatementBytes) {
			return i
		}
	}
	return len(rows)
}

func (o *Outbox) statement(rows int) string {
	var b strings.Builder
	b.Grow(len(o.head) + rows*40)
	b.WriteString(o.head)
	for i := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		if o.names.Dialect == PostgreSQL {
			writeNumbered(&b, i*eventColumns, eventColumns)
		} else {
			b.WriteString("(?, ?, ?, ?, ?, ?)")
		}
	}
	return b.String()
}

func (o *Outbox) args(rows []EventRow) []any {
	args := make([]any, 0, len(rows)*eventColumns)
	for _, r := range rows {
		// An untyped nil is NULL with every driver; a nil []byte is an empty value with some.
		var key, payload any
		if r.Key != "" {
			key = o.keyArg(r.Key)
		}
		if r.Payload != nil {
			payload = r.Payload
		}
		args = append(args, r.EventID.String(), r.Topic, key, r.Type, payload, r.Headers)
	}
	return args
}

// keyArg sends the key as bytes where the column is binary, so that the
// connection's character set does not matter.
func (o *Outbox) keyArg(key string) any {
	if o.names.Dialect == MySQL {
		return []byte(key)
	}
	return key
}

// LockKeys takes a lock per key that lasts until the transaction ends.
func (o *Outbox) LockKeys(ctx context.Context, tx Execer, keys []EventKey) error {
	if len(keys) == 0 {
		return nil
	}
	return o.lock(ctx, tx, o.names, keys)
}
