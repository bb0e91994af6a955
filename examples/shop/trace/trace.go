// Package trace tells the way of one order through all services: which event was written, when and where, when a broker
// had it, and who applied it when. It reads every service's database, as no service can, and changes nothing.
//
// Everything is there already: a relay with Archive keeps what it has delivered, an inbox keeps the ids of what was
// handled, and the gateway notes what its read model has applied.
package trace

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/postroom/postroom/examples/shop/kit"
)

// Event is an event of an order.
type Event struct {
	ID, Type, Topic string
	Cause           string // the id of the event that led to this one; empty: somebody's request
	Service         string // that wrote it
	Written         time.Time
	Due             time.Time // zero: at once
	Delivered       time.Time // zero: not yet
	Applied         []Applied // in the order of the times
}

// Applied tells that a service has applied an event.
type Applied struct {
	Service string
	At      time.Time
}

// Tracer reads the databases. Make it with Open.
type Tracer struct {
	databases map[string]*kit.DB
	prefix    string
}

// Open opens the databases, by the names of package provision. prefix is before the names of all topics. The caller
// calls Close.
func Open(ctx context.Context, urls map[string]string, prefix string) (*Tracer, error) {
	t := &Tracer{databases: map[string]*kit.DB{}, prefix: prefix}
	for name, url := range urls {
		db, err := kit.Connect(ctx, url)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open %s: %w", name, err), t.Close())
		}
		db.SQL.SetMaxOpenConns(1)
		t.databases[name] = db
	}
	return t, nil
}

// Close closes the databases.
func (t *Tracer) Close() (err error) {
	for _, db := range t.databases {
		err = errors.Join(err, db.Close())
	}
	return err
}

// Order returns the events of an order, in the order in which they were written.
func (t *Tracer) Order(ctx context.Context, id string) ([]Event, error) {
	events := map[string]*Event{}
	for _, name := range t.names() {
		if err := t.written(ctx, name, id, events); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, name := range t.names() {
		if err := t.applied(ctx, name, events); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := t.projected(ctx, id, events); err != nil {
		return nil, err
	}
	all := make([]Event, 0, len(events))
	for _, e := range events {
		slices.SortFunc(e.Applied, func(a, b Applied) int { return a.At.Compare(b.At) })
		all = append(all, *e)
	}
	slices.SortFunc(all, func(a, b Event) int {
		// An event and what it led to can have the same time: time-ordered ids decide.
		if c := a.Written.Compare(b.Written); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all, nil
}

func (t *Tracer) names() []string { return slices.Sorted(maps.Keys(t.databases)) }

// service is the owner of a database. orders has several.
func service(database string) string {
	service, _, _ := strings.Cut(database, "_")
	return service
}

// columns are the same in all tables of an outbox.
const columns = "event_id, event_type, topic, headers, created_at"

// written reads the outbox of a service: what is delivered, what waits, what is due later, and what was rejected.
func (t *Tracer) written(ctx context.Context, database, order string, events map[string]*Event) error {
	tables := map[string]string{
		"outbox_archive": "delivered_at", "outbox_events": "NULL", "outbox_parked": "NULL", "outbox_scheduled": "NULL",
	}
	if strings.HasPrefix(database, "orders_") { // it has a second outbox, for mails
		tables["mail_outbox_archive"], tables["mail_outbox_events"] = "delivered_at", "NULL"
	}
	for table, delivered := range tables {
		due := "NULL"
		if table == "outbox_scheduled" {
			due = "deliver_at"
		}
		query := "SELECT " + columns + ", " + due + ", " + delivered + " FROM " + table + " WHERE event_key = ?"
		err := t.each(ctx, database, query, []any{order}, func(scan func(...any) error) error {
			e := Event{Service: service(database)}
			var headers []byte
			written, due, delivered := (*moment)(&e.Written), (*moment)(&e.Due), (*moment)(&e.Delivered)
			if err := scan(&e.ID, &e.Type, &e.Topic, &headers, written, due, delivered); err != nil {
				return err
			}
			var of map[string]string
			if err := json.Unmarshal(headers, &of); err != nil {
				return err
			}
			e.Cause, e.Topic = of["causation_id"], strings.TrimPrefix(e.Topic, t.prefix)
			events[e.ID] = &e
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// applied reads the inbox of a service: when it handled which message.
func (t *Tracer) applied(ctx context.Context, database string, events map[string]*Event) error {
	ids := make([]any, 0, len(events))
	for id := range events {
		ids = append(ids, id)
	}
	if len(ids) == 0 || database == "gateway" {
		return nil
	}
	query := "SELECT message_id, processed_at FROM inbox_events WHERE message_id IN (?" +
		strings.Repeat(", ?", len(ids)-1) + ")"
	return t.each(ctx, database, query, ids, func(scan func(...any) error) error {
		var id string
		a := Applied{Service: service(database)}
		if err := scan(&id, (*moment)(&a.At)); err != nil {
			return err
		}
		return add(events[id], a)
	})
}

// projected reads when the read model of the gateway applied an event.
func (t *Tracer) projected(ctx context.Context, order string, events map[string]*Event) error {
	query := `SELECT message_id, applied_at FROM order_timeline WHERE order_id = ? AND generation =
		(SELECT generation FROM view_generations WHERE state = 'live')`
	return t.each(ctx, "gateway", query, []any{order}, func(scan func(...any) error) error {
		var id string
		var at int64
		if err := scan(&id, &at); err != nil {
			return err
		}
		return add(events[id], Applied{Service: "gateway", At: time.UnixMilli(at).UTC()})
	})
}

// add notes that a service has applied an event. A service with several consumers counts once, by the first of them.
func add(e *Event, a Applied) error {
	if e == nil { // it is older than what the archive keeps
		return nil
	}
	for i, known := range e.Applied {
		if known.Service == a.Service {
			if a.At.Before(known.At) {
				e.Applied[i].At = a.At
			}
			return nil
		}
	}
	e.Applied = append(e.Applied, a)
	return nil
}

func (t *Tracer) each(ctx context.Context, database, query string, args []any, f func(func(...any) error) error) error {
	db, found := t.databases[database]
	if !found {
		return fmt.Errorf("there is no database %s", database)
	}
	rows, err := db.SQL.QueryContext(ctx, db.Bind(query), args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// moment is a time in a database: SQLite has texts.
type moment time.Time

var _ sql.Scanner = (*moment)(nil)

// Scan reads a time, its text, or NULL.
func (m *moment) Scan(value any) error {
	switch v := value.(type) {
	case nil:
	case time.Time:
		*m = moment(v.UTC())
	case string:
		return m.parse(v)
	case []byte:
		return m.parse(string(v))
	default:
		return fmt.Errorf("a time cannot be %T", value)
	}
	return nil
}

func (m *moment) parse(text string) error {
	t, err := time.Parse(time.RFC3339Nano, text)
	*m = moment(t.UTC())
	return err
}
