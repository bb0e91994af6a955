package relay

import (
	"context"
	"slices"
	"time"

	store "github.com/postroom/postroom/internal/store/relay"
)

// A sweep searches the table for strays: rows that no read will ever ask for, because they are
// below the head, outside every gap, not in flight and not on the shelf. There is a stray only if
// ids went back (a restore, TRUNCATE … RESTART IDENTITY), or if the application has chosen an id
// itself. The sweep is a safety net and delivers nothing. When it finds a stray, everything is read
// again from the start, in order.
//
// A sweep steps over every deleted row that the database has not removed yet. This takes long while an old
// snapshot keeps such rows. So the sweep runs beside the reader, on a connection of its own, and the pause
// before the next sweep is a multiple of this one's time.
//
// Hazard read-during-delete does not concern the sweep, because the sweep compares the rows with a copy that
// was made before its statement (hazard sweep-during-delete). If the statement returns a row at or below the
// head of the copy, the row was not deleted when the copy was made. So at that time it was in flight, on the
// shelf, or in a gap, or it is a stray. Later deliveries and deletes make no difference, and ids need not
// stay in flight until the sweep has ended.
type sweep struct {
	head  int64
	gaps  []store.Range
	held  []store.Event // in flight, ascending
	shelf []int64       // rows on the shelf, ascending
}

// sweeper runs one sweep at a time. It belongs to the reader.
type sweeper struct {
	running               chan sweepResult // nil: none runs
	stop                  context.CancelFunc
	renumberFailureLogged bool // it is logged that a row could not be given a new id
}

// sweepResult is what a sweep found.
type sweepResult struct {
	stray    *store.Event // the first stray; nil: none
	head     int64
	cameBack bool // the row of an event in flight holds another event now
	took     time.Duration
	err      error
}

// maxCommittedInGaps is how many rows a search from the start may return in addition to those in flight.
// These are rows that were committed into gaps since the last read.
const maxCommittedInGaps = 1000

// sweepRest bounds the share of time that sweeps use: the pause after a sweep is at least this many times as
// long as the sweep was.
const sweepRest = 20

// stepSweep handles the result of the last sweep, and starts another when it is due. The reader calls it
// between two reads. At that time every row up to the head is in flight, on the shelf, parked, deleted, or in
// a gap.
func (c *cursor) stepSweep(ctx context.Context, found, limit int) error {
	if c.sweeper.running == nil {
		if !time.Now().Before(c.term.sweepDue) {
			c.beginSweep(ctx)
		}
		return nil
	}
	select {
	case result := <-c.sweeper.running:
		c.sweeper.stop()
		c.sweeper.running = nil
		every := c.cfg.sweepEvery
		if found >= limit {
			every *= 6 // a backlog: reads are more urgent
		}
		c.term.sweepDue = time.Now().Add(max(every, sweepRest*result.took))
		return c.takeSweep(ctx, result)
	default:
		return nil
	}
}

func (c *cursor) beginSweep(ctx context.Context) {
	sw := sweep{head: c.head, gaps: c.gaps.Ranges(), held: c.inFlight.Rows(), shelf: c.shelf.IDs()}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.answerTimeout)
	running := make(chan sweepResult, 1)
	c.sweeper.running, c.sweeper.stop = running, cancel
	go func() {
		begun := time.Now()
		result := sw.run(ctx, c.store)
		result.took = time.Since(begun)
		running <- result
	}()
}

// endSweep stops a running sweep, and waits for its end. Nobody needs its result any more.
func (c *cursor) endSweep() {
	if c.sweeper.running != nil {
		c.sweeper.stop()
		<-c.sweeper.running
		c.sweeper.running = nil
	}
}

func (c *cursor) takeSweep(ctx context.Context, result sweepResult) error {
	switch {
	case ctx.Err() != nil:
	case result.err != nil: // the reads notice an outage, and a slow sweep needs no action
		c.log.Warn("could not search the table for rows that no read asks for; trying again later",
			"table", c.table, "took", result.took, "error", result.err)
	case result.cameBack:
		return errIDsWentBack
	case result.stray != nil && result.stray.ID <= 0:
		c.renumber(ctx, *result.stray)
	case result.stray != nil:
		c.log.Warn("a row appeared below those already read: its id was chosen by hand, or ids went back",
			"table", c.table, "row", result.stray.ID, "head", result.head)
		return errIDsWentBack // it may have been sent: the next start reads the manifests
	}
	return nil
}

// renumber gives a row a new id from the database. Ids begin at 1, so somebody has set a lower id by hand,
// and no read from the start would return that row. If renumber fails, the other rows are still delivered.
func (c *cursor) renumber(ctx context.Context, row store.Event) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.answerTimeout)
	defer cancel()
	if err := c.store.Renumber(ctx, c.term.lease, row); err != nil {
		c.term.endIfLost(err)
		if !c.sweeper.renumberFailureLogged {
			c.sweeper.renumberFailureLogged = true // once, because it is tried again after each sweep
			c.log.Warn("a row has an id below 1, chosen by hand, which no read asks for, and could not be given "+
				"a new one; the others go on; grant the relay's user INSERT on the table, "+
				"end the session that has locked the row, or delete it",
				"table", c.table, "row", row.ID, "event", row.EventID, "error", err)
		}
		return
	}
	c.term.sweepDue = time.Now() // there may be more
	c.log.Warn("a row had an id below 1, chosen by hand, which no read asks for: it was given a new one; "+
		"leave the id to the database",
		"table", c.table, "row", row.ID, "event", row.EventID)
}

// run searches for the first stray.
func (sw *sweep) run(ctx context.Context, from reads) (found sweepResult) {
	found.head = sw.head
	gaps, held, shelf := sw.gaps, sw.held, sw.shelf
	found.err = from.EventsUpTo(ctx, sw.head, len(held)+len(sw.shelf)+maxCommittedInGaps, func(row store.Event) bool {
		held = held[passed(held, func(e store.Event) bool { return e.ID < row.ID }):]
		if len(held) > 0 && held[0].ID == row.ID {
			found.cameBack = held[0] != row
			return !found.cameBack
		}
		shelf = shelf[passed(shelf, func(id int64) bool { return id < row.ID }):]
		if len(shelf) > 0 && shelf[0] == row.ID {
			return true
		}
		gaps = gaps[passed(gaps, func(g store.Range) bool { return g.Hi < row.ID }):]
		if len(gaps) > 0 && gaps[0].Lo <= row.ID {
			return true
		}
		found.stray = &row
		return false
	})
	return found
}

// passed counts the leading items for which behind is true.
func passed[T any](items []T, behind func(T) bool) int {
	n := slices.IndexFunc(items, func(item T) bool { return !behind(item) })
	if n < 0 {
		return len(items)
	}
	return n
}
