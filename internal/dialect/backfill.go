package dialect

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// Backfill keeps the runs of backfills in outbox_backfills. Safe for concurrent use.
type Backfill struct{ names Names }

// BackfillRun is how far a run has come.
type BackfillRun struct {
	ID       string
	Position any // int64 or string; nil: nothing was sent
	Chunks   int64
	Sent     int64
	Topics   map[string]int64
	Started  time.Time
}

// BackfillRow is a row of a backfill's query.
type BackfillRow struct {
	Topic, Key, Type string
	Payload          []byte
	Position         any
}

// ErrOtherBackfill: another process moves the run.
var ErrOtherBackfill = errors.New("another process is at this run, or has finished it")

// NewBackfill returns the store of n, which must be valid.
func NewBackfill(n Names) *Backfill { return &Backfill{names: n} }

// Open returns the run of that name that is under way.
func (b *Backfill) Open(ctx context.Context, db Queryer, name string) (run BackfillRun, found bool, err error) {
	rows, err := db.QueryContext(ctx, b.names.Expand(`SELECT run_id, position, chunks, sent, topics, `+b.names.timeText("started_at")+
		` FROM {outbox_backfills} WHERE name = `+b.names.param(1)+` AND running = 1`), b.names.keyArg(name))
	if err != nil {
		return run, false, err
	}
	defer rows.Close()
	if !rows.Next() {
		return run, false, rows.Err()
	}
	var position sql.NullString
	var topics string
	var started momentText
	if err := rows.Scan(&run.ID, &position, &run.Chunks, &run.Sent, &topics, &started); err != nil {
		return run, false, err
	}
	run.Started = time.Time(started)
	if position.Valid {
		if run.Position, err = readPosition(position.String); err != nil {
			return run, false, err
		}
	}
	return run, true, json.Unmarshal([]byte(topics), &run.Topics)
}

func readPosition(text string) (any, error) {
	var n int64
	if json.Unmarshal([]byte(text), &n) == nil {
		return n, nil
	}
	var s string
	err := json.Unmarshal([]byte(text), &s)
	return s, err
}

// Start makes a run.
func (b *Backfill) Start(ctx context.Context, db Execer, id, name string) error {
	_, err := db.ExecContext(ctx, b.names.Expand(`INSERT INTO {outbox_backfills} (run_id, name, running, topics) VALUES (`+
		b.names.param(1)+`, `+b.names.param(2)+`, 1, '{}')`), id, b.names.keyArg(name))
	return err
}

// Hold locks the run until the transaction ends, and counts a chunk.
func (b *Backfill) Hold(ctx context.Context, tx Execer, run BackfillRun) error {
	result, err := tx.ExecContext(ctx, b.names.Expand(`UPDATE {outbox_backfills} SET chunks = chunks + 1 WHERE run_id = `+b.names.param(1)+
		` AND chunks = `+b.names.param(2)+` AND running = 1`), run.ID, run.Chunks)
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n != 1 {
		err = ErrOtherBackfill
	}
	return err
}

// Advance notes what Hold's transaction has sent.
func (b *Backfill) Advance(ctx context.Context, tx Execer, run BackfillRun) error {
	position, err := json.Marshal(run.Position)
	if err != nil {
		return err
	}
	topics, err := json.Marshal(run.Topics)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, b.names.Expand(`UPDATE {outbox_backfills} SET position = `+b.names.param(1)+`, sent = `+b.names.param(2)+`, topics = `+b.names.param(3)+
		` WHERE run_id = `+b.names.param(4)), string(position), run.Sent, string(topics), run.ID)
	return err
}

// Finish notes that the run has sent everything.
func (b *Backfill) Finish(ctx context.Context, tx Execer, run BackfillRun) error {
	now := (&Replica{names: b.names}).now()
	_, err := tx.ExecContext(ctx, b.names.Expand(`UPDATE {outbox_backfills} SET running = NULL, finished_at = `+now+` WHERE run_id = `+b.names.param(1)), run.ID)
	return err
}

// Read returns the next rows of the query after position, by the column of that name.
func (b *Backfill) Read(ctx context.Context, tx Queryer, query, column string, after any, limit int) ([]BackfillRow, error) {
	q := b.names.quote(column)
	text := "SELECT topic, event_key, event_type, payload, " + q + " FROM (" + query + ") AS postroom_backfill"
	args := []any{limit}
	if after != nil {
		text += " WHERE " + q + " > " + b.names.param(1)
		args = []any{after, limit}
	}
	rows, err := tx.QueryContext(ctx, text+" ORDER BY "+q+" LIMIT "+b.names.param(len(args)), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []BackfillRow
	for rows.Next() {
		var r BackfillRow
		var key, kind sql.NullString
		if err := rows.Scan(&r.Topic, &key, &kind, &r.Payload, &r.Position); err != nil {
			return nil, err
		}
		r.Key, r.Type = key.String, kind.String
		switch p := r.Position.(type) {
		case int64:
		case int32:
			r.Position = int64(p)
		case string:
		case []byte:
			if b.names.Dialect != MySQL { // where a driver may hand over text so
				return nil, notAPosition(column, p)
			}
			r.Position = string(p)
		default:
			return nil, notAPosition(column, p)
		}
		// The run's place is kept as JSON, which has no other bytes: a run that is resumed would go on elsewhere.
		if text, ok := r.Position.(string); ok && !utf8.ValidString(text) {
			return nil, fmt.Errorf("column %s holds bytes that are no UTF-8: have the query go by them as text, such as hex(%s), with an index on that", column, column)
		}
		found = append(found, r)
	}
	return found, rows.Err()
}

func notAPosition(column string, value any) error {
	return fmt.Errorf("column %s is %T: a backfill goes by a column of integers or text that is unique and never NULL (of bytes the query can make text, such as hex(%s), with an index on that)", column, value, column)
}
