// Package backfill sends the present rows of a table through the outbox, while writes
// go on, so that a new consumer starts complete.
//
// A query's rows are read in chunks, by a unique column. A chunk's read, its events and
// the run's place in outbox_backfills are one transaction: a run that is killed goes on
// after its last chunk, and sends no row twice or not at all.
//
// A row that is changed while its chunk is open may be sent as it was, behind the event
// of its change. So each payload carries the row's version, and the consumer keeps the
// newest: inbox/replica does. A consumer without such a gate must not be backfilled.
//
// At the end a marker for each topic says how many rows it was sent. inbox/replica counts
// them, and then removes what the source had deleted before; see its Tidy.
package backfill

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/dialect"
	"github.com/postroom/postroom/outbox"
)

// Headers of a run's events; inbox/replica reads them.
const (
	HeaderRun     = "backfill_run"     // in every event: the run's id
	HeaderSent    = "backfill_sent"    // in an end marker: rows sent to its topic
	HeaderStarted = "backfill_started" // in an end marker: RFC 3339, by the database's clock
)

// TypeEnd is the event type of an end marker.
const TypeEnd = "postroom.backfill.end"

// DefaultChunk is the number of rows of a transaction.
const DefaultChunk = 1000

// Errors of Run, found with errors.Is.
var (
	ErrConfig = errors.New("the backfill cannot be run so")
	ErrOther  = dialect.ErrOtherBackfill // another process runs the same name
)

// Config says what to send.
type Config struct {
	// Name finds a run again: 1 to 100 bytes. One run of a name is under way at a time;
	// a name whose run has finished begins a new one.
	Name string
	// Query is a SELECT with the columns topic, event_key, event_type, payload and the
	// one that Position names, and without a semicolon at its end. The payload has the
	// row's version. It runs in the database of the outbox, with your rights.
	Query string
	// Position is the column of integers or text that chunks go by, the primary key as a
	// rule: unique, never NULL, and indexed.
	Position string
	// Chunk is the number of rows of a transaction. Default: DefaultChunk.
	Chunk int
	// RowsPerSecond limits the rate. Default: 0, no limit.
	RowsPerSecond int
	// Progress is called after each chunk, if it is not nil.
	Progress func(Progress)
	// Outbox are the options of outbox.New; those of the service's own writers.
	Outbox []outbox.Option
	// TablePrefix and Schema say where the tables are, for Postroom's own row of the run.
	TablePrefix, Schema string
}

// Progress is how far a run has come.
type Progress struct {
	RunID    string
	Resumed  bool // an earlier process began it
	Chunks   int64
	Sent     int64
	Topics   map[string]int64
	Started  time.Time
	Finished bool
}

type runner struct {
	db      *sql.DB
	c       Config
	d       outbox.Dialect
	store   *dialect.Backfill
	ob      *outbox.Outbox
	run     dialect.BackfillRun
	resumed bool
}

// Run sends what c says, or the rest of it where an earlier call was interrupted. Call it
// with the same Query then. It returns how far it came, with an error too.
func Run(ctx context.Context, db *sql.DB, d outbox.Dialect, c Config) (Progress, error) {
	if c.Chunk == 0 {
		c.Chunk = DefaultChunk
	}
	names := dialect.Names{Dialect: d, Prefix: c.TablePrefix, Schema: c.Schema}
	if err := c.check(names); err != nil {
		return Progress{}, fmt.Errorf("backfill %q: %w", c.Name, err)
	}
	ob, err := outbox.New(d, append([]outbox.Option{outbox.WithTablePrefix(c.TablePrefix), outbox.WithSchema(c.Schema)}, c.Outbox...)...)
	if err != nil {
		return Progress{}, fmt.Errorf("backfill %q: %w", c.Name, err)
	}
	r := &runner{db: db, c: c, d: d, store: dialect.NewBackfill(names), ob: ob}
	finished, err := r.all(ctx)
	if err != nil {
		return r.progress(false), fmt.Errorf("backfill %q: %w%s", c.Name, err, hint(err))
	}
	return r.progress(finished), nil
}

func (c Config) check(names dialect.Names) error {
	switch {
	case c.Name == "" || len(c.Name) > 100:
		return fmt.Errorf("%w: a name of 1 to 100 bytes is needed", ErrConfig)
	case c.Query == "":
		return fmt.Errorf("%w: a query is needed", ErrConfig)
	case !dialect.ValidIdentifier(c.Position):
		return fmt.Errorf("%w: position column %q: want at most 63 of a-z, 0-9 and _", ErrConfig, c.Position)
	case c.Chunk < 1 || c.Chunk > 100_000 || c.RowsPerSecond < 0:
		return fmt.Errorf("%w: chunks of 1 to 100,000 rows, a rate of 0 or more", ErrConfig)
	}
	return names.Validate()
}

func hint(err error) string {
	if dialect.IsMissingTable(err) {
		return " (a table is not there: run `relay migrate up` for Postroom's)"
	}
	return ""
}

func (r *runner) all(ctx context.Context) (bool, error) {
	if err := r.open(ctx); err != nil {
		return false, err
	}
	for {
		began := time.Now()
		n, err := r.chunk(ctx)
		if err != nil {
			return false, err
		}
		if r.c.Progress != nil {
			r.c.Progress(r.progress(n == 0))
		}
		if n == 0 {
			return true, nil
		}
		if err := r.rest(ctx, n, began); err != nil {
			return false, err
		}
	}
}

// open finds the run that is under way, or begins one.
func (r *runner) open(ctx context.Context) (err error) {
	if r.run, r.resumed, err = r.store.Open(ctx, r.db, r.c.Name); err != nil || r.resumed {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	if err := r.store.Start(ctx, r.db, id.String(), r.c.Name); err != nil {
		return err
	}
	r.run, _, err = r.store.Open(ctx, r.db, r.c.Name)
	return err
}

// chunk sends the next rows, and after the last ones the markers; it returns how many
// rows it sent. r.run changes only when the transaction has committed.
func (r *runner) chunk(ctx context.Context) (int, error) {
	o := &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	if r.d == outbox.SQLite {
		o.Isolation = sql.LevelDefault
	}
	tx, err := r.db.BeginTx(ctx, o)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	// First, so that of two processes one waits here, and then is told.
	if err := r.store.Hold(ctx, tx, r.run); err != nil {
		return 0, err
	}
	next := r.run
	next.Chunks++
	rows, err := r.store.Read(ctx, tx, r.c.Query, r.c.Position, r.run.Position, r.c.Chunk)
	if err != nil {
		return 0, fmt.Errorf("read the query: %w", err)
	}
	events := r.markers()
	if len(rows) > 0 {
		events = r.events(rows)
		next.Topics = map[string]int64{}
		for topic, n := range r.run.Topics {
			next.Topics[topic] = n
		}
		for _, row := range rows {
			next.Topics[row.Topic]++
		}
		next.Sent += int64(len(rows))
		next.Position = rows[len(rows)-1].Position
		err = r.store.Advance(ctx, tx, next)
	} else {
		err = r.store.Finish(ctx, tx, next)
	}
	if err != nil {
		return 0, err
	}
	if err := r.ob.Add(ctx, tx, events...); err != nil {
		return 0, err
	}
	if err := tx.Commit(); err != nil {
		return 0, fmt.Errorf("commit: %w", err)
	}
	r.run = next
	return len(rows), nil
}

func (r *runner) events(rows []dialect.BackfillRow) []outbox.Event {
	events := make([]outbox.Event, len(rows))
	headers := map[string]string{HeaderRun: r.run.ID}
	for i, row := range rows {
		events[i] = outbox.Event{Topic: row.Topic, Key: row.Key, Type: row.Type, Payload: row.Payload, Headers: headers}
	}
	return events
}

func (r *runner) markers() []outbox.Event {
	var events []outbox.Event
	for topic, n := range r.run.Topics {
		events = append(events, outbox.Event{Topic: topic, Key: r.run.ID, Type: TypeEnd, Payload: []byte("{}"), Headers: map[string]string{
			HeaderRun: r.run.ID, HeaderSent: strconv.FormatInt(n, 10), HeaderStarted: r.run.Started.Format(time.RFC3339Nano),
		}})
	}
	return events
}

// rest waits as long as n rows may take, less what they took.
func (r *runner) rest(ctx context.Context, n int, began time.Time) error {
	if r.c.RowsPerSecond == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(time.Duration(float64(n)/float64(r.c.RowsPerSecond)*float64(time.Second)) - time.Since(began))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *runner) progress(finished bool) Progress {
	return Progress{RunID: r.run.ID, Resumed: r.resumed, Chunks: r.run.Chunks, Sent: r.run.Sent, Topics: r.run.Topics, Started: r.run.Started, Finished: finished}
}
