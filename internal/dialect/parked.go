package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Parked rows, the operator's side: it reads them and sets their state, without the
// lease. Rows come and go only through the owner.

// ParkedEntry is a row of outbox_parked as an operator sees it.
type ParkedEntry struct {
	Seq       int64
	ID        int64 // the row's in outbox_events
	EventID   string
	Topic     string
	Key       []byte // nil: none
	Type      string
	Headers   string
	CreatedAt time.Time
	ParkedAt  time.Time
	Attempts  int
	Error     string
	State     string
	Overtaken bool

	PayloadSize int64 // -1: no payload
	// Payload is filled in by FindParked: the first bytes of it.
	Payload []byte
}

// ParkedFilter chooses parked rows. Its zero value chooses all.
type ParkedFilter struct {
	Topic string  // "": all
	Key   *string // nil: all
	State string  // "": all
}

// ParkedID is how people name a parked row: by seq, or by the event's id.
type ParkedID struct {
	Seq     int64
	EventID uuid.UUID // used if Seq is 0
}

// String returns the id as it was given.
func (id ParkedID) String() string {
	if id.Seq != 0 {
		return strconv.FormatInt(id.Seq, 10)
	}
	return id.EventID.String()
}

// ListParked returns the first rows that f chooses, limit of them at the most and
// without payloads, and whether there are more.
func ListParked(ctx context.Context, db *sql.DB, n Names, f ParkedFilter, limit int) (entries []ParkedEntry, more bool, err error) {
	if err := n.Validate(); err != nil {
		return nil, false, err
	}
	w := chosen(n, f)
	query := parkedView(n, "NULL") + w.sql() + " ORDER BY seq LIMIT " + w.arg(limit+1)
	entries, err = queryParked(ctx, db, n, query, w.args)
	if len(entries) > limit {
		return entries[:limit], true, err
	}
	return entries, false, err
}

// FindParked returns the row that id names, with the first payload bytes of its
// payload. An error names an id that is not there, or that stands for several rows.
func FindParked(ctx context.Context, db *sql.DB, n Names, id ParkedID, payload int) (ParkedEntry, error) {
	if err := n.Validate(); err != nil {
		return ParkedEntry{}, err
	}
	w := &where{names: n}
	part := map[Dialect]string{
		PostgreSQL: "substring(payload FROM 1 FOR %d)", MySQL: "SUBSTRING(payload, 1, %d)", SQLite: "substr(CAST(payload AS BLOB), 1, %d)",
	}[n.Dialect]
	w.named([]ParkedID{id})
	entries, err := queryParked(ctx, db, n, parkedView(n, fmt.Sprintf(part, payload))+w.sql()+" ORDER BY seq", w.args)
	if err != nil {
		return ParkedEntry{}, err
	}
	if err := resolved([]ParkedID{id}, entries); err != nil {
		return ParkedEntry{}, err
	}
	return entries[0], nil
}

// ParkedPlace says where a row stands among the parked rows of its key.
type ParkedPlace struct {
	First      int64  // seq of the key's first row
	FirstState string // and its state
	Rows       int64  // of the key; 200,000 stands for that many or more
}

// PlaceOf returns a row's place; the zero place for a row without a key.
func PlaceOf(ctx context.Context, db *sql.DB, n Names, e ParkedEntry) (p ParkedPlace, err error) {
	if e.Key == nil {
		return p, nil
	}
	key := string(e.Key)
	w := chosen(n, ParkedFilter{Topic: e.Topic, Key: &key})
	first := n.Expand("SELECT seq, state FROM {outbox_parked}") + w.sql() + " ORDER BY seq LIMIT 1"
	err = db.QueryRowContext(ctx, first, w.args...).Scan(&p.First, &p.FirstState)
	if errors.Is(err, sql.ErrNoRows) {
		return ParkedPlace{}, nil // delivered meanwhile
	}
	if err != nil {
		return p, err
	}
	p.Rows, err = countParked(ctx, db, w)
	return p, err
}

// countParked counts rows up to the limit beyond which counting takes seconds.
func countParked(ctx context.Context, db *sql.DB, w *where) (rows int64, err error) {
	query := w.names.Expand("SELECT count(*) FROM (SELECT 1 FROM {outbox_parked}") + w.sql() + fmt.Sprintf(" LIMIT %d) AS counted", CountLimit)
	return rows, db.QueryRowContext(ctx, query, w.args...).Scan(&rows)
}

// parkedView selects the columns of a ParkedEntry; payload is the last one.
func parkedView(n Names, payload string) string {
	const view = "SELECT seq, id, event_id, topic, event_key, event_type, %s, %s, %s, attempts, error, state, overtaken, %s, %s FROM {outbox_parked}"
	headers := "headers"
	size, stamp := "octet_length(payload)", `to_char(%s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
	switch n.Dialect {
	case PostgreSQL:
		headers = "headers::text"
	case MySQL:
		stamp = "DATE_FORMAT(%s, '%%Y-%%m-%%dT%%H:%%i:%%s.%%fZ')"
	case SQLite:
		size, stamp = "length(CAST(payload AS BLOB))", "%s || ''" // or a driver would make a time of it
	}
	return n.Expand(fmt.Sprintf(view, headers, fmt.Sprintf(stamp, "created_at"), fmt.Sprintf(stamp, "parked_at"), size, payload))
}

func queryParked(ctx context.Context, q querier, n Names, query string, args []any) (entries []ParkedEntry, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e ParkedEntry
		var id uuid.UUID
		var created, parked string
		var size sql.NullInt64
		if err := rows.Scan(&e.Seq, &e.ID, &id, &e.Topic, &e.Key, &e.Type, &e.Headers, &created, &parked,
			&e.Attempts, &e.Error, &e.State, &e.Overtaken, &size, &e.Payload); err != nil {
			return nil, err
		}
		e.EventID, e.PayloadSize = id.String(), -1
		if size.Valid {
			e.PayloadSize = size.Int64
		}
		if e.CreatedAt, err = time.Parse(time.RFC3339Nano, created); err == nil {
			e.ParkedAt, err = time.Parse(time.RFC3339Nano, parked)
		}
		if err != nil {
			return nil, fmt.Errorf("%s, row %d: %w", n.Plain(Parked), e.Seq, err)
		}
		entries = append(entries, e)
	}
	return entries, rows.Err()
}

// where collects conditions and their arguments.
type where struct {
	names Names
	conds []string
	args  []any
}

// arg adds an argument and returns its placeholder.
func (w *where) arg(v any) string {
	w.args = append(w.args, v)
	return w.names.Param(len(w.args))
}

func (w *where) and(cond string) { w.conds = append(w.conds, cond) }

func (w *where) sql() string {
	if len(w.conds) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conds, " AND ")
}

// chosen are the conditions of a filter; topic and key compare by bytes.
func chosen(n Names, f ParkedFilter) *where {
	w := &where{names: n}
	if f.Topic != "" {
		w.and("topic = " + w.arg(f.Topic))
		if n.Dialect == MySQL { // whose collations pad spaces
			w.and("LENGTH(topic) = " + w.arg(len(f.Topic)))
		}
	}
	if f.Key != nil {
		key := any(*f.Key)
		if n.Dialect == MySQL {
			key = []byte(*f.Key)
		}
		w.and("event_key = " + w.arg(key))
	}
	if f.State != "" {
		w.and("state = " + w.arg(f.State))
	}
	return w
}

// named chooses rows by their ids.
func (w *where) named(ids []ParkedID) {
	var any []string
	for _, id := range ids {
		switch {
		case id.Seq != 0:
			any = append(any, "seq = "+w.arg(id.Seq))
		case w.names.Dialect == PostgreSQL:
			any = append(any, "event_id = "+w.arg(id.EventID.String())+"::uuid")
		default:
			any = append(any, "event_id = "+w.arg(id.EventID.String()))
		}
	}
	w.and("(" + strings.Join(any, " OR ") + ")")
}

// resolved says which ids name no row, or several.
func resolved(ids []ParkedID, entries []ParkedEntry) error {
	var missing []string
	var errs []error
	for _, id := range ids {
		var found []string
		for _, e := range entries {
			if e.Seq == id.Seq || id.Seq == 0 && e.EventID == id.EventID.String() {
				found = append(found, strconv.FormatInt(e.Seq, 10))
			}
		}
		switch {
		case len(found) == 0:
			missing = append(missing, id.String())
		case len(found) > 1:
			errs = append(errs, fmt.Errorf("event %s is parked %d times: name one of the rows %s", id, len(found), strings.Join(found, ", ")))
		}
	}
	if len(missing) > 0 {
		errs = append(errs, fmt.Errorf("no event is parked as %s (delivered, or dropped?): see `relay parked list`", strings.Join(missing, ", ")))
	}
	return errors.Join(errs...)
}
