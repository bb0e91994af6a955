package outbox

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// Backfill keeps the runs of backfills in outbox_backfills. Safe for concurrent use.
type Backfill struct {
	names db.Names
	sql   statements
}

// BackfillRun is the state of a run.
type BackfillRun struct {
	ID       string
	Position any    // int64 or string, of the last row that was sent; nil: nothing was sent
	Until    any    // of the last row that is to be sent; nil: there is none
	Query    string // a hash of what is sent; empty in a run that has no Until and goes to the query's end
	Chunks   int64
	Sent     int64
	Topics   map[string]int64
	Started  time.Time
}

// ErrOtherBackfill means that another process continues the run, or has ended it.
var ErrOtherBackfill = errors.New("another process is at this run, or has ended it")

// NewBackfill returns the store of n. It fails on names that are not valid.
func NewBackfill(n db.Names) (*Backfill, error) {
	all, _, err := load(n)
	return &Backfill{names: n, sql: all}, err
}

// Open returns the unfinished run of that name.
func (b *Backfill) Open(ctx context.Context, q db.Queryer, name string) (run BackfillRun, found bool, err error) {
	rows, err := q.QueryContext(ctx, b.sql.OpenRun, b.names.KeyArg(name))
	if err != nil {
		return run, false, err
	}
	defer rows.Close()
	if !rows.Next() {
		return run, false, rows.Err()
	}
	var place sql.NullString
	var topics string
	if err := rows.Scan(&run.ID, &place, &run.Chunks, &run.Sent, &topics, (*db.Moment)(&run.Started)); err != nil {
		return run, false, err
	}
	if place.Valid {
		if err := run.readPlace([]byte(place.String)); err != nil {
			return run, false, err
		}
	}
	return run, true, json.Unmarshal([]byte(topics), &run.Topics)
}

// writePlace encodes a run's place for the column position.
func (r BackfillRun) writePlace() (string, error) {
	text, err := json.Marshal(map[string]any{"at": r.Position, "until": r.Until, "query": r.Query})
	return string(text), err
}

// readPlace also decodes a position without the other parts.
func (r *BackfillRun) readPlace(text []byte) (err error) {
	if !bytes.HasPrefix(text, []byte("{")) {
		r.Position, err = readPosition(text)
		return err
	}
	var place struct {
		At, Until json.RawMessage
		Query     string
	}
	if err := json.Unmarshal(text, &place); err != nil {
		return err
	}
	r.Query = place.Query
	if r.Position, err = readPosition(place.At); err != nil {
		return err
	}
	r.Until, err = readPosition(place.Until)
	return err
}

func readPosition(text []byte) (any, error) {
	if len(text) == 0 || string(text) == "null" {
		return nil, nil
	}
	var n int64
	if json.Unmarshal(text, &n) == nil {
		return n, nil
	}
	var s string
	err := json.Unmarshal(text, &s)
	return s, err
}

// Newest returns the highest id of all runs; empty: there are none.
func (b *Backfill) Newest(ctx context.Context, q db.Queryer) (id string, err error) {
	err = db.Each(ctx, q, func(rows *sql.Rows) error { return rows.Scan(&id) }, b.sql.NewestRun)
	return id, err
}

// Start makes a run. It replaces a run of that name that has sent nothing, because the start
// of that run would be older than the rows that it sends.
func (b *Backfill) Start(ctx context.Context, tx db.Execer, id, name string) error {
	n, err := db.Affected(tx.ExecContext(ctx, b.sql.RestartRun, id, b.names.KeyArg(name)))
	if err != nil || n > 0 {
		return err
	}
	_, err = tx.ExecContext(ctx, b.sql.StartRun, id, b.names.KeyArg(name))
	if db.IsDuplicate(err) {
		return ErrOtherBackfill // it began, or sent its first chunk, while we waited
	}
	return err
}

// Hold locks the run until the transaction ends, and counts a chunk.
func (b *Backfill) Hold(ctx context.Context, tx db.Execer, run BackfillRun) error {
	return one(tx.ExecContext(ctx, b.sql.HoldRun, run.ID, run.Chunks))
}

// Advance records what the transaction of Hold, or of Start, has done.
func (b *Backfill) Advance(ctx context.Context, tx db.Execer, run BackfillRun) error {
	place, err := run.writePlace()
	if err != nil {
		return err
	}
	topics, err := json.Marshal(run.Topics)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, b.sql.AdvanceRun, place, run.Sent, string(topics), run.ID)
	return err
}

// Finish records that the run has ended.
func (b *Backfill) Finish(ctx context.Context, tx db.Execer, run BackfillRun) error {
	return one(tx.ExecContext(ctx, b.sql.FinishRun, run.ID))
}

// one returns an error if the statement did not change the run, because another process has.
func one(result sql.Result, err error) error {
	n, err := db.Affected(result, err)
	if err == nil && n != 1 {
		err = ErrOtherBackfill
	}
	return err
}
