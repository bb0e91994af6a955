package outbox

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
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

// Store writes events for one installation of the tables. Safe for concurrent use.
type Store struct {
	names     db.Names
	sql       statements
	locks     lockStatements
	events    insertion
	scheduled insertion
	maxParams int
}

// insertion is an INSERT into one of the two tables that hold events to deliver.
type insertion struct {
	head      string // INSERT … VALUES, without the rows
	columns   int
	deliverAt string // the layout of the last column; empty: there is none
}

// New returns the writer for n. It fails on names that are not valid.
func New(n db.Names) (*Store, error) {
	all, locks, err := load(n)
	if err != nil {
		return nil, err
	}
	return &Store{
		names: n, sql: all, locks: locks,
		events:    insertion{head: all.InsertEvents + " ", columns: 6},
		scheduled: insertion{head: all.InsertScheduled + " ", columns: 7, deliverAt: n.TimeLayout()},
		maxParams: db.For(n.Dialect, 65535, 65535, 32766),
	}, nil
}

// maxStatementBytes keeps a statement with several events below MariaDB's default
// max_allowed_packet of 16 MiB, even if the driver puts the values into the text
// (interpolateParams) and has to escape every byte. A larger event has a statement of
// its own.
const maxStatementBytes = 7 << 20

// rowOverhead is what a row adds to the statement besides its values: the event id,
// placeholders or quotes, and the driver's framing.
const rowOverhead = 128

// InsertEvents writes rows in order: the ids that the database gives them ascend.
func (s *Store) InsertEvents(ctx context.Context, tx db.Execer, rows []EventRow) error {
	return s.insert(ctx, tx, s.events, rows)
}

// insert writes rows in as few statements as possible.
func (s *Store) insert(ctx context.Context, tx db.Execer, into insertion, rows []EventRow) error {
	for len(rows) > 0 {
		n := s.fitting(into, rows)
		if _, err := tx.ExecContext(ctx, s.statement(into, n), s.args(into, rows[:n])...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// fitting returns how many of the rows fit into one statement, at least one.
func (s *Store) fitting(into insertion, rows []EventRow) int {
	most, size := s.maxParams/into.columns, 0
	for i, r := range rows {
		size += len(r.Payload) + len(r.Headers) + len(r.Key) + len(r.Topic) + len(r.Type) + rowOverhead
		if i > 0 && (i >= most || size > maxStatementBytes) {
			return i
		}
	}
	return len(rows)
}

func (s *Store) statement(into insertion, rows int) string {
	var b strings.Builder
	b.Grow(len(into.head) + rows*45)
	b.WriteString(into.head)
	for i := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		s.names.WriteParams(&b, i*into.columns, into.columns)
	}
	return b.String()
}

func (s *Store) args(into insertion, rows []EventRow) []any {
	args := make([]any, 0, len(rows)*into.columns)
	for _, r := range rows {
		// An untyped nil is NULL with every driver; a nil []byte is an empty value with some.
		var key, payload any
		if r.Key != "" {
			key = s.names.KeyArg(r.Key)
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
