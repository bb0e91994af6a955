// Package backfill sends the present rows of a table through the outbox, while the
// table is written to. So a new consumer starts with all rows.
//
// It reads a query's rows in chunks, by a unique column, up to the last row that existed
// at the start. One transaction reads a chunk, writes its events, and writes the run's
// position into outbox_backfills. So a run that is killed continues after its last
// chunk, skips no row and sends no row twice.
//
// If a row is changed while its chunk is open, its old state may be sent after the event
// of the change. So each payload has the row's version, and the consumer keeps the newest
// version, as inbox/replica does. Do not backfill a consumer that does not compare
// versions.
//
// At the end a marker says how many rows were sent. When inbox/replica has counted that
// many, it removes the rows that the source no longer had; see its Tidy.
package backfill

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/outbox"
	"github.com/postroom/postroom/outbox"
)

// Headers of a run's events; inbox/replica reads them.
const (
	HeaderRun     = "backfill_run"     // in every event, unless the run is partial: the run's id
	HeaderPartial = "backfill_partial" // in every event of a partial run: true
	HeaderSent    = "backfill_sent"    // in the end marker: rows sent
	HeaderStarted = "backfill_started" // in the end marker: RFC 3339, by the database's clock
)

// TypeEnd is the event type of an end marker.
const TypeEnd = "postroom.backfill.end"

// DefaultChunk is the number of rows of a transaction.
const DefaultChunk = 1000

// Errors of Run and Abandon, found with errors.Is.
var (
	ErrConfig = errors.New("the backfill cannot be run so")
	ErrOther  = store.ErrOtherBackfill // another process runs the same name
)

// Config says what to send.
type Config struct {
	// Name identifies a run, so that it can be continued: 1 to 100 bytes. A name has one
	// run at a time. When it has finished, the same name begins a new one.
	Name string
	// Query is a SELECT with the columns topic, event_key, event_type, payload and the
	// one that Position names. The payload has the row's version. It runs in the database
	// of the outbox, with your rights.
	//
	// It must return EVERY row of the replica, all with one topic, because at the end the
	// replica removes the rows that did not arrive. Use Partial if the query returns a part
	// of the rows, or if one replica reads several topics (a run for each, WHERE …).
	Query string
	// Position is the column, of integers or text, by which chunks are read. It is usually
	// the primary key: unique, never NULL, indexed, and the key of the replica or a part of
	// it. If a row gets another position during the run, it is sent twice, the replica
	// counts it once, and then waits for one more row for ever.
	Position string
	// Partial sends no end marker, so that the replica removes nothing. Use it to repair
	// some rows of a replica.
	Partial bool
	// Chunk is the number of rows of a transaction. Default: DefaultChunk.
	Chunk int
	// RowsPerSecond limits the rate. Default: 0, no limit.
	RowsPerSecond int
	// Progress is called after each chunk, if it is not nil.
	Progress func(Progress)
	// Outbox are the options of outbox.New, the same as those of the service's own writers.
	// A consumer that keeps the newest version does not need the order of a backfill's
	// events. StrictKeyOrder is needed only if other consumers read the topic too.
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
	Topics   map[string]int64 // rows sent, under the run's topic
	Started  time.Time
	Finished bool
}

// Run sends the rows of c.Query. If an earlier call was interrupted, it sends the rest. That
// needs the same Query, Position and Partial, otherwise the error is ErrConfig. Abandon
// ends a run that should not continue. Run returns its progress, also with an error.
func Run(ctx context.Context, pool *sql.DB, d outbox.Dialect, c Config) (Progress, error) {
	if c.Chunk == 0 {
		c.Chunk = DefaultChunk
	}
	names := db.Names{Dialect: d, Prefix: c.TablePrefix, Schema: c.Schema}
	if err := c.check(names); err != nil {
		return Progress{}, fmt.Errorf("backfill %q: %w", c.Name, err)
	}
	ob, err := outbox.New(
		d, append([]outbox.Option{outbox.WithTablePrefix(c.TablePrefix), outbox.WithSchema(c.Schema)}, c.Outbox...)...,
	)
	if err != nil {
		return Progress{}, fmt.Errorf("backfill %q: %w", c.Name, err)
	}
	runs, err := store.NewBackfill(names)
	if err != nil {
		return Progress{}, fmt.Errorf("backfill %q: %w", c.Name, err)
	}
	r := &runner{db: pool, c: c, d: d, store: runs, ob: ob}
	finished, err := r.all(ctx)
	if err != nil {
		return r.progress(false), fmt.Errorf("backfill %q: %w%s", c.Name, err, advice.Of(err))
	}
	return r.progress(finished), nil
}

// Abandon ends the current run of c.Name without an end marker, and returns its progress.
// A process that still works on the run gets ErrOther. Replicas that got rows of the run
// remove nothing because of it, and keep their tombstones until a later run has finished.
// ErrConfig: the name has no run that is under way.
func Abandon(ctx context.Context, pool *sql.DB, d outbox.Dialect, c Config) (Progress, error) {
	names := db.Names{Dialect: d, Prefix: c.TablePrefix, Schema: c.Schema}
	runs, err := store.NewBackfill(names)
	if err := errors.Join(c.checkName(), err); err != nil {
		return Progress{}, fmt.Errorf("backfill %q: %w", c.Name, err)
	}
	r := &runner{db: pool, c: c, d: d, store: runs, resumed: true}
	if err := r.abandon(ctx); err != nil {
		return Progress{}, fmt.Errorf("backfill %q: abandon: %w%s", c.Name, err, advice.Of(err))
	}
	return r.progress(false), nil
}

// advice is the end of the errors of the database. A query of the user's own can be wrong in other ways.
var advice = db.Advice{MissingTable: "a table does not exist: run `relay migrate up` for Postroom's"}

func (c Config) checkName() error {
	if c.Name == "" || len(c.Name) > 100 {
		return fmt.Errorf("%w: a name of 1 to 100 bytes is needed", ErrConfig)
	}
	return nil
}

func (c Config) check(names db.Names) error {
	switch {
	case c.checkName() != nil:
		return c.checkName()
	case c.Query == "":
		return fmt.Errorf("%w: a query is needed", ErrConfig)
	case !db.ValidIdentifier(c.Position):
		return fmt.Errorf("%w: position column %q: want at most 63 of a-z, 0-9 and _", ErrConfig, c.Position)
	case c.Chunk < 1 || c.Chunk > 100_000 || c.RowsPerSecond < 0:
		return fmt.Errorf("%w: chunks of 1 to 100,000 rows, a rate of 0 or more", ErrConfig)
	}
	return names.Validate()
}
