package backfill

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	store "github.com/postroom/postroom/internal/store/outbox"
	"github.com/postroom/postroom/outbox"
)

type runner struct {
	db      *sql.DB
	c       Config
	d       outbox.Dialect
	store   *store.Backfill
	ob      *outbox.Outbox
	run     store.BackfillRun
	resumed bool
}

func (r *runner) query() store.BackfillQuery {
	return store.BackfillQuery{Text: r.c.Query, Column: r.c.Position}
}

// hash identifies what a run sends, so that another process continues only the same run.
func (c Config) hash() string {
	text, _ := json.Marshal([]any{strings.TrimRight(c.Query, "; \t\r\n"), c.Position, c.Partial}) // strings cannot fail
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// begin opens a transaction in which each statement sees what is committed by then.
func (r *runner) begin(ctx context.Context) (*sql.Tx, error) {
	o := &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	if r.d == outbox.SQLite {
		o.Isolation = sql.LevelDefault
	}
	return r.db.BeginTx(ctx, o)
}

func (r *runner) all(ctx context.Context) (bool, error) {
	if err := r.open(ctx); err != nil {
		return false, err
	}
	for {
		began := time.Now()
		n, last, err := r.chunk(ctx)
		if err != nil {
			return false, err
		}
		if r.c.Progress != nil {
			r.c.Progress(r.progress(last))
		}
		if last {
			return true, nil
		}
		if err := r.rest(ctx, n, began); err != nil {
			return false, err
		}
	}
}

// open finds the run that is under way, or begins one.
func (r *runner) open(ctx context.Context) error {
	run, found, err := r.store.Open(ctx, r.db, r.c.Name)
	if err != nil {
		return err
	}
	if !found || run.Chunks == 0 {
		return r.start(ctx)
	}
	if run.Query != "" && run.Query != r.c.hash() {
		return fmt.Errorf("%w: run %s of this name is under way with another query, position column or choice of a "+
			"partial run: go on with those, or end it (backfill.Abandon, `relay backfill --abandon --name %s`)",
			ErrConfig, run.ID, r.c.Name)
	}
	r.run, r.resumed = run, true
	return nil
}

// start begins a run, and reads its bound: the last row that exists. A later row, below
// the bound or above it, has an event of its own. That event is applied after the run's
// start, so Tidy keeps the row. Without a bound a run would never end if its source grows
// as fast as it reads. The start is noted before the bound is read, so that a row which
// commits in between is in the run, and is also newer than its start.
func (r *runner) start(ctx context.Context) error {
	newest, err := r.store.Newest(ctx, r.db)
	if err != nil {
		return err
	}
	id, err := above(newest)
	if err != nil {
		return err
	}
	tx, err := r.begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if err := r.store.Start(ctx, tx, id, r.c.Name); err != nil {
		return err
	}
	run, _, err := r.store.Open(ctx, tx, r.c.Name)
	if err != nil {
		return err
	}
	last, without, err := r.store.Bounds(ctx, tx, r.query())
	switch {
	case err != nil:
		return fmt.Errorf("read the query: %w", err)
	case without:
		return fmt.Errorf("%w: a row of the query has no %s (NULL): it would be left out", ErrConfig, r.c.Position)
	}
	run.Until, run.Query = last, r.c.hash()
	if err := r.store.Advance(ctx, tx, run); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	r.run = run
	return nil
}

// above returns a UUID of version 7. If that is not higher than all runs so far, it
// returns the next UUID after them, because a replica takes the higher one for the newer,
// and clocks may go back.
func above(newest string) (string, error) {
	id, err := uuid.NewV7()
	if err != nil || newest == "" {
		return id.String(), err
	}
	last, err := uuid.Parse(newest)
	if err != nil || id.String() > last.String() {
		return id.String(), err
	}
	for i := len(last) - 1; i >= 0; i-- {
		if last[i]++; last[i] != 0 {
			break
		}
	}
	return last.String(), nil
}

// chunk sends the next rows, and after the last row the marker. It returns how many rows
// it sent, and whether they are the last. r.run changes only when the transaction has committed.
func (r *runner) chunk(ctx context.Context) (sent int, last bool, err error) {
	tx, err := r.begin(ctx)
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	// This is first, so that one of two processes waits here, and then gets an error.
	if err := r.store.Hold(ctx, tx, r.run); err != nil {
		return 0, false, err
	}
	next := r.run
	next.Chunks++
	rows, last, err := r.read(ctx, tx)
	if err != nil {
		return 0, false, err
	}
	events := r.events(rows)
	if len(rows) > 0 {
		next.Topics = maps.Clone(r.run.Topics)
		next.Topics[rows[0].Topic] += int64(len(rows))
		next.Sent += int64(len(rows))
		next.Position = rows[len(rows)-1].Position
		if err := r.store.Advance(ctx, tx, next); err != nil {
			return 0, false, err
		}
	}
	if last {
		if err := r.store.Finish(ctx, tx, next); err != nil {
			return 0, false, err
		}
		events = append(events, r.marker(next)...)
	}
	if err := r.ob.Add(ctx, tx, events...); err != nil {
		return 0, false, err
	}
	if err := tx.Commit(); err != nil {
		return 0, false, fmt.Errorf("commit: %w", err)
	}
	r.run = next
	return len(rows), last, nil
}

// read returns the next rows. It reads one more row than it returns, to see whether more
// rows follow. It also sees whether the chunk would end between two rows of one position:
// the second of them would never be read.
func (r *runner) read(ctx context.Context, tx *sql.Tx) (rows []store.BackfillRow, last bool, err error) {
	if r.run.Query != "" && r.run.Until == nil {
		return nil, true, nil // there was no row at the start
	}
	rows, err = r.store.Read(ctx, tx, r.query(), r.run, r.c.Chunk+1)
	if err != nil {
		return nil, false, fmt.Errorf("read the query: %w", err)
	}
	for _, row := range rows {
		if row.Twice {
			return nil, false, fmt.Errorf(
				"%w: two rows of the query have the same %s, %v: name a unique column", ErrConfig, r.c.Position,
				row.Position,
			)
		}
	}
	last = len(rows) <= r.c.Chunk
	rows = rows[:min(len(rows), r.c.Chunk)]
	return rows, last, r.oneTopic(rows)
}

// oneTopic returns an error for rows of several topics. The replica counts the run's rows of
// all topics. So the marker of one topic would remove rows that are still on their way in
// another one.
func (r *runner) oneTopic(rows []store.BackfillRow) error {
	topics := maps.Clone(r.run.Topics)
	for _, row := range rows {
		topics[row.Topic]++
	}
	if len(topics) > 1 {
		return fmt.Errorf("%w: rows of several topics, %q: make a run per topic (WHERE …), and with Partial "+
			"(--partial) if one replica reads several", ErrConfig, slices.Sorted(maps.Keys(topics)))
	}
	return nil
}

func (r *runner) events(rows []store.BackfillRow) []outbox.Event {
	events := make([]outbox.Event, len(rows))
	headers := map[string]string{HeaderRun: r.run.ID}
	if r.c.Partial {
		headers = map[string]string{HeaderPartial: "true"}
	}
	for i, row := range rows {
		events[i] = outbox.Event{Topic: row.Topic, Key: row.Key, Type: row.Type, Payload: row.Payload, Headers: headers}
	}
	return events
}

// marker is the end marker, if there is one: the run has a topic, and is not partial.
func (r *runner) marker(run store.BackfillRun) []outbox.Event {
	if r.c.Partial {
		return nil
	}
	var events []outbox.Event
	for topic, n := range run.Topics {
		events = append(events, outbox.Event{Topic: topic, Key: run.ID, Type: TypeEnd, Payload: []byte("{}"),
			Headers: map[string]string{
				HeaderRun: run.ID, HeaderSent: strconv.FormatInt(n, 10),
				HeaderStarted: run.Started.Format(time.RFC3339Nano),
			}})
	}
	return events
}

func (r *runner) abandon(ctx context.Context) error {
	run, found, err := r.store.Open(ctx, r.db, r.c.Name)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%w: no run of this name is under way", ErrConfig)
	}
	r.run = run
	return r.store.Finish(ctx, r.db, run)
}

// rest waits for the rest of the time that the limit of rows a second gives n rows.
func (r *runner) rest(ctx context.Context, n int, began time.Time) error {
	if r.c.RowsPerSecond == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(
		time.Duration(float64(n)/float64(r.c.RowsPerSecond)*float64(time.Second)) - time.Since(began),
	)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *runner) progress(finished bool) Progress {
	return Progress{
		RunID: r.run.ID, Resumed: r.resumed, Chunks: r.run.Chunks, Sent: r.run.Sent, Topics: r.run.Topics,
		Started: r.run.Started, Finished: finished,
	}
}
