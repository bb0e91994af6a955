// Package backfill sends the present rows of a table through the outbox, while writes
// go on, so that a new consumer starts complete.
//
// A query's rows are read in chunks, by a unique column, up to the last row that was
// there at the start. A chunk's read, its events and the run's place in outbox_backfills
// are one transaction: a run that is killed goes on after its last chunk, and sends no
// row twice or not at all.
//
// A row that is changed while its chunk is open may be sent as it was, behind the event
// of its change. So each payload carries the row's version, and the consumer keeps the
// newest: inbox/replica does. A consumer without such a gate must not be backfilled.
//
// At the end a marker says how many rows were sent. inbox/replica counts them, and then
// removes what the source had deleted before; see its Tidy.
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
	// Name finds a run again: 1 to 100 bytes. One run of a name is under way at a time;
	// a name whose run has finished begins a new one.
	Name string
	// Query is a SELECT with the columns topic, event_key, event_type, payload and the
	// one that Position names. The payload has the row's version. It runs in the database
	// of the outbox, with your rights.
	//
	// It yields EVERY row of the replica, all with one topic: at the end the replica
	// removes what did not come. Of a part of the rows, and of several topics that one
	// replica reads (a run for each, WHERE …), make runs with Partial.
	Query string
	// Position is the column of integers or text that chunks go by, the primary key as a
	// rule: unique, never NULL, indexed, and the key of the replica or a part of it. A row
	// that is made again under another position while the run goes on is sent twice and
	// counted once by the replica, which then waits for one more for ever.
	Position string
	// Partial leaves the end marker out: nothing is removed from the replica. It is how
	// damage to some of its rows is mended.
	Partial bool
	// Chunk is the number of rows of a transaction. Default: DefaultChunk.
	Chunk int
	// RowsPerSecond limits the rate. Default: 0, no limit.
	RowsPerSecond int
	// Progress is called after each chunk, if it is not nil.
	Progress func(Progress)
	// Outbox are the options of outbox.New; those of the service's own writers. The order
	// of a backfill's events does not matter to a consumer that keeps the newest version:
	// StrictKeyOrder is needed only if others read the topic too.
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

// Run sends what c says, or the rest of it where an earlier call was interrupted. Call it
// with the same Query, Position and Partial then, or it is ErrConfig; Abandon ends a run
// that is not to go on. It returns how far it came, with an error too.
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

// Abandon ends the run of c.Name that is under way, without an end marker, and returns
// how far it had come. A process that is still at it gets ErrOther. Replicas that have
// heard of the run remove nothing for it, and keep their tombstones until a later run
// has finished. ErrConfig: no run is under way.
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

// advice is what the errors of the database end with. A query of the user's own can be wrong in other ways.
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
