package replica

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/replica"
)

// Defaults of TidyOptions.
const (
	DefaultTombstones = 30 * 24 * time.Hour
	DefaultMargin     = time.Minute
)

const tidyStep = 500

// TidyOptions says what Tidy may remove.
type TidyOptions struct {
	// Tombstones is how long the replica remembers deleted rows. If an older version arrives later than that, it
	// brings the row back. Tombstones must therefore be longer than a message can wait, in the broker and parked.
	// Default: DefaultTombstones.
	Tombstones time.Duration
	// Parked is how long you keep parked messages; Tombstones may not be shorter. Tidy does not look at the parked
	// messages themselves.
	Parked time.Duration
	// Margin is how much the clocks of source and replica may differ. Default: DefaultMargin.
	Margin time.Duration
}

// Tidied says what Tidy did.
type Tidied struct {
	Removed int64 // rows that the source no longer had
	Pruned  int64 // tombstones
	Waiting []Run // backfills that have not arrived completely
}

// Run is a backfill that is not finished here. While there is one, no tombstone is deleted.
type Run struct {
	ID      string
	Arrived int64 // rows
	Sent    int64 // rows; -1: its end marker has not come
}

// Tidy finishes backfills and deletes old tombstones. Call it every minute or so. It works in small transactions.
// It may run in several processes, and may be interrupted.
//
// A backfill is finished when its end marker has arrived, and as many rows as the marker says. Then Tidy deletes
// each row that was not in the backfill and that no change has mentioned since the backfill began: the source had
// deleted it before. A row that was created during the backfill is safe, because its event was written after the
// start and is applied after it.
func (r *Replica) Tidy(ctx context.Context, db *sql.DB, o TidyOptions) (Tidied, error) {
	if o.Tombstones == 0 {
		o.Tombstones = max(DefaultTombstones, o.Parked)
	}
	if o.Margin == 0 {
		o.Margin = DefaultMargin
	}
	if o.Tombstones < o.Parked || o.Tombstones < 0 || o.Margin < 0 {
		return Tidied{}, fmt.Errorf("replica %q: tombstones are kept for %s and parked messages for %s: "+
			"a parked message that is retried after its tombstone was deleted would bring a deleted row back",
			r.c.Name, o.Tombstones, o.Parked)
	}
	t, err := r.tidy(ctx, db, o)
	if err != nil {
		return t, fmt.Errorf("replica %q: tidy: %w%s", r.c.Name, err, advice.Of(err))
	}
	return t, nil
}

func (r *Replica) tidy(ctx context.Context, db *sql.DB, o TidyOptions) (t Tidied, err error) {
	runs, err := r.store.Runs(ctx, db)
	if err != nil {
		return t, err
	}
	for i, run := range runs { // the newest first: those before it are not needed once it is finished
		if run.Finished {
			if err := r.supersede(ctx, db, run.RunID, runs[i:]); err != nil {
				return t, err
			}
			break
		}
		if run.Confirmed, err = r.store.Confirmed(ctx, db, run.RunID); err != nil {
			return t, err
		}
		if run.Sent < 0 || run.Confirmed < run.Sent {
			t.Waiting = append(t.Waiting, Run{ID: run.RunID, Arrived: run.Confirmed, Sent: run.Sent})
			continue
		}
		if err := r.finish(ctx, db, run.RunID, run.Started.Add(-o.Margin), &t); err != nil {
			return t, err
		}
		break
	}
	for n := int64(tidyStep); n == tidyStep; {
		err := repeat(ctx, func() (err error) {
			n, err = r.store.PruneTombstones(ctx, db, o.Tombstones, tidyStep)
			return err
		})
		if err != nil {
			return t, err
		}
		t.Pruned += n
	}
	return t, nil
}

// supersede finishes older runs when a newer one is finished. Their rows never replace the rows of the newer one.
// They would wait for ever, and tombstones would be kept for ever.
func (r *Replica) supersede(ctx context.Context, db *sql.DB, finished string, runs []store.Run) error {
	if !slices.ContainsFunc(runs, func(run store.Run) bool { return !run.Finished }) {
		return nil
	}
	return repeat(ctx, func() error { return r.store.Finish(ctx, db, finished) })
}

// repeat runs a transaction again when the database has ended it because of another one, up to 10 times in all.
func repeat(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		if !db.IsSerialization(err) || try == 10 {
			return err
		}
		if err := pause(ctx, time.Duration(try)*10*time.Millisecond); err != nil {
			return err
		}
	}
}

func (r *Replica) finish(ctx context.Context, db *sql.DB, runID string, before time.Time, t *Tidied) error {
	for n := tidyStep; n == tidyStep; {
		err := repeat(ctx, func() (err error) {
			n, err = r.remove(ctx, db, runID, before)
			return err
		})
		if err != nil {
			return err
		}
		t.Removed += int64(n)
	}
	return nil
}

// remove deletes the next unconfirmed rows and leaves tombstones. After the last rows it notes, in the same
// transaction, that the run is finished.
func (r *Replica) remove(ctx context.Context, db *sql.DB, runID string, before time.Time) (int, error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{})
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	// SQLite: begin with a write. A transaction that begins with a read may fail with SQLITE_BUSY at its first write.
	if err := r.store.Hear(ctx, tx, runID); err != nil {
		return 0, err
	}
	rows, err := r.store.Unconfirmed(ctx, tx, runID, before, tidyStep)
	if err != nil {
		return 0, err
	}
	for i := range rows {
		if rows[i].Key, err = r.keyOf(rows[i].RowKey); err != nil {
			return 0, err
		}
	}
	if err := r.store.Delete(ctx, tx, rows); err != nil {
		return 0, err
	}
	if err := r.store.Bury(ctx, tx, rows); err != nil {
		return 0, err
	}
	if len(rows) < tidyStep {
		if err := r.store.Finish(ctx, tx, runID); err != nil {
			return 0, err
		}
	}
	return len(rows), tx.Commit()
}
