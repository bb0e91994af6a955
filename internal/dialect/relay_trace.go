package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
)

// Found is one place where an event is, or is known to have been.
type Found struct {
	Table     string // its default name
	ID        int64  // the row's id in outbox_events, 0 where it had none yet
	Topic     string
	Key       *string // nil: none
	Type      string
	CreatedAt time.Time // when it was written; zero in outbox_drops

	At time.Time // when it was parked, delivered or dropped, or is due; zero in outbox_events

	Partition *int32 // in outbox_archive, if the sink told it
	Offset    *int64

	State     string // in outbox_parked
	Attempts  int
	Overtaken bool
	Error     string // why it is parked, or was

	// In outbox_events: how many rows are before it, and how many events of its key are
	// parked, which it waits for; 200,000 stands for that many or more.
	Ahead, Behind int64
}

// Trace is where an event was found, and what there is to know when it was not.
type Trace struct {
	Found   []Found
	Missing []string // tables that are not there, by their default names
	// ArchivedSince is the time of the oldest archived event, zero if there is none.
	ArchivedSince time.Time
}

// Trace looks for an event in every table of the outbox. outbox_events has no index on
// event ids and is searched from end to end.
//
// The tables are looked at in the order in which events move through them: one that
// moves meanwhile is found twice, and not missed.
func (r *Relay) Trace(ctx context.Context, id uuid.UUID) (t Trace, err error) {
	for _, look := range []func(context.Context, uuid.UUID, *Trace) error{
		r.traceScheduled, r.traceWaiting, r.traceParked, r.traceArchive, r.traceDrops,
	} {
		if err := look(ctx, id, &t); err != nil {
			return t, err
		}
	}
	return t, nil
}

func (r *Relay) traceScheduled(ctx context.Context, id uuid.UUID, t *Trace) error {
	return r.traceIn(ctx, t, Scheduled, id, "topic, event_key, event_type, {created_at}, {deliver_at}", func(f *Found) []any {
		return []any{&f.Topic, &f.Key, &f.Type, (*momentText)(&f.CreatedAt), (*momentText)(&f.At)}
	})
}

func (r *Relay) traceWaiting(ctx context.Context, id uuid.UUID, t *Trace) error {
	before := len(t.Found)
	err := r.traceIn(ctx, t, Events, id, "id, topic, event_key, event_type, {created_at}", func(f *Found) []any {
		return []any{&f.ID, &f.Topic, &f.Key, &f.Type, (*momentText)(&f.CreatedAt)}
	})
	if err != nil {
		return err
	}
	for i := range t.Found[before:] {
		if err := r.traceBefore(ctx, &t.Found[before+i]); err != nil {
			return err
		}
	}
	return nil
}

// traceBefore counts what a waiting event waits for, up to db.CountLimit rows.
func (r *Relay) traceBefore(ctx context.Context, f *Found) error {
	counted := fmt.Sprintf(" LIMIT %d) AS counted", db.CountLimit)
	ahead := r.names.Expand("SELECT COUNT(*) FROM (SELECT 1 FROM {outbox_events} WHERE id < " + r.names.Param(1) + counted)
	if err := r.db.QueryRowContext(ctx, ahead, f.ID).Scan(&f.Ahead); err != nil || f.Key == nil {
		return err
	}
	var key any = *f.Key
	if r.names.Dialect == MySQL {
		key = []byte(*f.Key)
	}
	behind := r.names.Expand("SELECT COUNT(*) FROM (SELECT 1 FROM {outbox_parked} WHERE topic = " + r.names.Param(1) +
		" AND event_key = " + r.names.Param(2) + counted)
	return r.db.QueryRowContext(ctx, behind, f.Topic, key).Scan(&f.Behind)
}

func (r *Relay) traceParked(ctx context.Context, id uuid.UUID, t *Trace) error {
	return r.traceIn(ctx, t, Parked, id, "id, topic, event_key, event_type, {created_at}, {parked_at}, state, attempts, overtaken, error", func(f *Found) []any {
		return []any{&f.ID, &f.Topic, &f.Key, &f.Type, (*momentText)(&f.CreatedAt), (*momentText)(&f.At), &f.State, &f.Attempts, &f.Overtaken, &f.Error}
	})
}

func (r *Relay) traceArchive(ctx context.Context, id uuid.UUID, t *Trace) error {
	err := r.traceIn(ctx, t, Archive, id, "id, topic, event_key, event_type, {created_at}, {delivered_at}, kafka_partition, kafka_offset", func(f *Found) []any {
		return []any{&f.ID, &f.Topic, &f.Key, &f.Type, (*momentText)(&f.CreatedAt), (*momentText)(&f.At), &f.Partition, &f.Offset}
	})
	if err != nil || len(t.Found) > 0 {
		return err
	}
	var since sql.NullString
	oldest := r.names.Expand("SELECT " + r.names.TimeText("delivered_at") + " FROM {outbox_archive} ORDER BY delivered_at LIMIT 1")
	err = r.db.QueryRowContext(ctx, oldest).Scan(&since)
	if errors.Is(err, sql.ErrNoRows) || IsMissingTable(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return (*momentText)(&t.ArchivedSince).Scan(since.String)
}

func (r *Relay) traceDrops(ctx context.Context, id uuid.UUID, t *Trace) error {
	return r.traceIn(ctx, t, Drops, id, "id, topic, event_key, {dropped_at}, error", func(f *Found) []any {
		return []any{&f.ID, &f.Topic, &f.Key, (*momentText)(&f.At), &f.Error}
	})
}

// traceIn adds the rows of a table that hold the event. Columns in braces are times.
// With tables of version 2 some are not there.
func (r *Relay) traceIn(ctx context.Context, t *Trace, table string, id uuid.UUID, columns string, into func(*Found) []any) error {
	rows, err := r.db.QueryContext(ctx, r.traceSQL(table, columns), id.String())
	if IsMissingTable(err) {
		t.Missing = append(t.Missing, table)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", r.names.Plain(table), err)
	}
	defer rows.Close()
	for rows.Next() {
		f := Found{Table: table}
		if err := rows.Scan(into(&f)...); err != nil {
			return fmt.Errorf("read %s: %w", r.names.Plain(table), err)
		}
		t.Found = append(t.Found, f)
	}
	return rows.Err()
}

func (r *Relay) traceSQL(table, columns string) string {
	param, order := "?", "seq"
	if r.names.Dialect == PostgreSQL {
		param = "$1::text::uuid"
	}
	if table == Events {
		order = "id"
	}
	return "SELECT " + r.names.TimeColumns(columns) + " FROM " + r.names.Table(table) + " WHERE event_id = " + param + " ORDER BY " + order
}
