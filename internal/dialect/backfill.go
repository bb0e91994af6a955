package dialect

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
type Backfill struct{ names Names }

// BackfillRun is how far a run has come.
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

// ErrOtherBackfill: another process moves the run.
var ErrOtherBackfill = errors.New("another process is at this run, or has ended it")

// NewBackfill returns the store of n, which must be valid.
func NewBackfill(n Names) *Backfill { return &Backfill{names: n} }

// Open returns the run of that name that is under way.
func (b *Backfill) Open(ctx context.Context, db Queryer, name string) (run BackfillRun, found bool, err error) {
	rows, err := db.QueryContext(ctx, b.names.Expand(`SELECT run_id, position, chunks, sent, topics, `+b.names.TimeText("started_at")+
		` FROM {outbox_backfills} WHERE name = `+b.names.Param(1)+` AND running = 1`), b.names.KeyArg(name))
	if err != nil {
		return run, false, err
	}
	defer rows.Close()
	if !rows.Next() {
		return run, false, rows.Err()
	}
	var place sql.NullString
	var topics string
	var started momentText
	if err := rows.Scan(&run.ID, &place, &run.Chunks, &run.Sent, &topics, &started); err != nil {
		return run, false, err
	}
	run.Started = time.Time(started)
	if place.Valid {
		if err := run.readPlace([]byte(place.String)); err != nil {
			return run, false, err
		}
	}
	return run, true, json.Unmarshal([]byte(topics), &run.Topics)
}

// writePlace is what the column position has.
func (r BackfillRun) writePlace() (string, error) {
	text, err := json.Marshal(map[string]any{"at": r.Position, "until": r.Until, "query": r.Query})
	return string(text), err
}

// readPlace also takes a position that stands alone.
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
func (b *Backfill) Newest(ctx context.Context, db Queryer) (id string, err error) {
	rows, err := db.QueryContext(ctx, b.names.Expand(`SELECT run_id FROM {outbox_backfills} ORDER BY run_id DESC LIMIT 1`))
	if err != nil {
		return "", err
	}
	defer rows.Close()
	if rows.Next() {
		err = rows.Scan(&id)
	}
	return id, errors.Join(err, rows.Err())
}

// Start makes a run. A run of that name that has sent nothing becomes the new one: its
// start, and so all that is decided by it, would be older than what it sends.
func (b *Backfill) Start(ctx context.Context, tx Execer, id, name string) error {
	result, err := tx.ExecContext(ctx, b.names.Expand(`UPDATE {outbox_backfills} SET run_id = `+b.names.Param(1)+`, position = NULL, started_at = `+now(b.names)+
		` WHERE name = `+b.names.Param(2)+` AND running = 1 AND chunks = 0`), id, b.names.KeyArg(name))
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n > 0 {
		return err
	}
	_, err = tx.ExecContext(ctx, b.names.Expand(`INSERT INTO {outbox_backfills} (run_id, name, running, topics) VALUES (`+
		b.names.Param(1)+`, `+b.names.Param(2)+`, 1, '{}')`), id, b.names.KeyArg(name))
	if IsDuplicate(err) {
		return ErrOtherBackfill // it began, or sent its first chunk, while we waited
	}
	return err
}

// Hold locks the run until the transaction ends, and counts a chunk.
func (b *Backfill) Hold(ctx context.Context, tx Execer, run BackfillRun) error {
	result, err := tx.ExecContext(ctx, b.names.Expand(`UPDATE {outbox_backfills} SET chunks = chunks + 1 WHERE run_id = `+b.names.Param(1)+
		` AND chunks = `+b.names.Param(2)+` AND running = 1`), run.ID, run.Chunks)
	return one(result, err)
}

// Advance notes what the transaction of Hold, or of Start, has done.
func (b *Backfill) Advance(ctx context.Context, tx Execer, run BackfillRun) error {
	place, err := run.writePlace()
	if err != nil {
		return err
	}
	topics, err := json.Marshal(run.Topics)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, b.names.Expand(`UPDATE {outbox_backfills} SET position = `+b.names.Param(1)+`, sent = `+b.names.Param(2)+`, topics = `+b.names.Param(3)+
		` WHERE run_id = `+b.names.Param(4)), place, run.Sent, string(topics), run.ID)
	return err
}

// Finish notes that nothing more comes of the run.
func (b *Backfill) Finish(ctx context.Context, tx Execer, run BackfillRun) error {
	result, err := tx.ExecContext(ctx, b.names.Expand(`UPDATE {outbox_backfills} SET running = NULL, finished_at = `+now(b.names)+
		` WHERE run_id = `+b.names.Param(1)+` AND running = 1`), run.ID)
	return one(result, err)
}

// one: the statement changed the run, or another process has.
func one(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n != 1 {
		err = ErrOtherBackfill
	}
	return err
}

// now is the database's clock, as an expression.
func now(n Names) string {
	return db.For(n.Dialect, "clock_timestamp()", "utc_timestamp(6)", "strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'")
}
