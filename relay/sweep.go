package relay

import (
	"context"
	"slices"
	"time"

	store "github.com/postroom/postroom/internal/store/relay"
)

// A sweep looks from the start for rows that no read will ever ask for: below the head,
// outside every gap, and not in flight. There are none, unless ids went back (a
// restore, TRUNCATE … RESTART IDENTITY) or the application chose an id itself. It is a
// safety net and delivers nothing: when it finds one, everything is read again from the
// start, in order.
//
// It steps over every deleted row that the database has not removed, which takes long
// while an old snapshot keeps them: so it runs beside the reader, on a connection of its
// own, and rests for much longer than it took.
//
// It is no read in the sense of hazard read-during-delete. What it compares rows with is a copy
// (hazard sweep-during-delete) from before its statement: a row at or below that head which the
// statement shows had not been deleted when the copy was made, so it was in flight then, or in
// a gap, or no read asks for it. Whatever is delivered and deleted since makes no difference,
// and ids need not stay in flight until the sweep has ended.
type sweep struct {
	head int64
	gaps []store.Range
	held []store.Event // in flight, ascending

	shelf []int64 // rows that wait there, ascending
}

// sweeper runs one sweep at a time. It belongs to the reader.
type sweeper struct {
	running               chan sweepResult // nil: none runs
	stop                  context.CancelFunc
	renumberFailureLogged bool // that a row could not be given a new id
}

// sweepResult is what a sweep found.
type sweepResult struct {
	stray    *store.Event // the row that no read asks for
	head     int64
	cameBack bool // a row in flight holds another event
	took     time.Duration
	err      error
}

// inGaps is how many rows a look from the start allows for, beside those in flight: rows
// may have been committed into gaps since the last read.
const inGaps = 1000

// sweepRest is how many times as long as it took a sweep rests at least.
const sweepRest = 20

// stepSweep takes in what the last sweep found, and begins another when one is due. Between
// two reads every row up to the head is in flight, parked, deleted, or in a gap.
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
			every *= 6 // there is a backlog to read
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

// endSweep waits for a sweep that still runs. What it found is of no use any more.
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
	case result.err != nil: // an outage shows in the reads; a sweep that is too slow stops nothing
		c.log.Warn("could not search the table for rows that no read asks for; trying again later",
			"table", c.table, "took", result.took, "error", result.err)
	case result.cameBack:
		return errIDsWentBack
	case result.stray != nil && result.stray.ID <= 0:
		c.renumber(ctx, *result.stray)
	case result.stray != nil:
		c.log.Warn("a row appeared below those already read: its id was chosen by hand, or ids went back",
			"table", c.table, "row", result.stray.ID, "head", result.head)
		return errIDsWentBack // it may have been sent: the manifests tell
	}
	return nil
}

// renumber gives a row an id of the database's. Ids begin at 1, so a lower one was chosen by
// hand: no read from the start would ever show it. Where that fails the others go on.
func (c *cursor) renumber(ctx context.Context, row store.Event) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.answerTimeout)
	defer cancel()
	if err := c.store.Renumber(ctx, c.term.lease, row); err != nil {
		c.term.endIfLost(err)
		if !c.sweeper.renumberFailureLogged {
			c.sweeper.renumberFailureLogged = true // once: it is tried again after each sweep
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

func (sw *sweep) run(ctx context.Context, from reads) (found sweepResult) {
	found.head = sw.head
	gaps, held, shelf := sw.gaps, sw.held, sw.shelf
	found.err = from.EventsUpTo(ctx, sw.head, len(held)+len(sw.shelf)+inGaps, func(row store.Event) bool {
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

// passed counts the items at the start for which behind is true.
func passed[T any](items []T, behind func(T) bool) int {
	n := slices.IndexFunc(items, func(item T) bool { return !behind(item) })
	if n < 0 {
		return len(items)
	}
	return n
}
