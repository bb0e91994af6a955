package relay

import (
	"context"
	"sync/atomic"
	"time"

	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/checkpoint"
	"github.com/postroom/postroom/relay/internal/gaps"
	"github.com/postroom/postroom/relay/internal/lanes"
	"github.com/postroom/postroom/relay/internal/pacing"
)

// cursor is how far a session has read: every id up to the head was seen, or is in a gap. It belongs to the
// goroutine that reads. After an error or a failover it starts again from the checkpoint.
type cursor struct {
	part
	store interface {
		reads
		leases
	}
	shelf *lanes.Shelf // its rows are known, but not in flight

	head    int64
	gaps    gaps.Set
	probe   gaps.Probe
	sweeper sweeper

	checkpointStale bool      // the checkpoint has to be read from the lease row
	checkpointDue   time.Time // when to update the checkpoint, while much is in flight

	lastFound int   // records that the last read found
	typical   int64 // the size that a record of the next read is expected to have
	budget    pacing.ReadBudget
}

func newCursor(p part, st database, shelf *lanes.Shelf) *cursor {
	return &cursor{
		part: p, store: st, shelf: shelf, gaps: gaps.New(p.cfg.maxGaps), probe: gaps.NewProbe(!p.singleSnapshot),
		typical: p.cfg.MaxInFlightBytes/firstRead + 1,
		budget:  pacing.NewReadBudget(p.cfg.MaxInFlightBytes, p.cfg.longestRead()),
	}
}

// firstRead is the number of rows that the first read of a session asks for, when their size is not known
// yet.
const firstRead = 128

// batch is what a read found.
type batch struct {
	records []*Record
	ids     []int64 // of all rows that it returned, including those in flight
	last    int64   // the highest id
	size    int64   // of the records
	cut     bool    // it ended before it had returned everything that it asked for
}

// read asks for all gaps and for the rows above the head, in one statement. It notes which ids
// it has seen, and returns the records that are not in flight. With an error it returns the
// records that came before.
func (c *cursor) read(ctx context.Context, limit int, bytes int64) (batch, error) {
	forget := c.gaps.Proven()
	q := store.ReadQuery{Gaps: c.gaps.Ranges(), Asleep: c.gaps.Asleep(), Head: c.head, Limit: limit + c.returning()}
	c.inFlight.BeginRead()
	defer c.inFlight.EndRead()
	b, failed := c.collect(ctx, q, limit, bytes, nil)
	if len(b.ids) == 0 && failed != nil {
		return batch{}, failed
	}
	if !c.singleSnapshot {
		if err := c.repairSnapshot(ctx, &b, limit, bytes); err != nil {
			return batch{}, err
		}
	}
	if b.cut && b.last <= c.head {
		forget = nil // the read did not reach all gaps, and a row above the head comes after all of them
	} else {
		c.gaps.NoteRead()
	}
	c.lastFound = len(b.records)
	if len(b.records) > 0 {
		// It grows quickly and shrinks slowly.
		c.typical = max(b.size/int64(len(b.records)), c.typical*3/4, recordOverhead)
	}
	newHead := max(c.head, b.last)
	c.gaps.Advance(c.head, newHead, b.ids, forget)
	c.head = newHead
	return b, failed
}

// returning is how many rows in flight a read may return again. Usually it is none. It is all of them when
// gaps were merged over them, and after a read from the start.
func (c *cursor) returning() int {
	if !c.gaps.Coarse() && c.head >= c.inFlight.Highest() {
		return 0
	}
	held, _, _ := c.inFlight.Counts()
	return held + c.shelf.Len()
}

// collect runs one statement. wanted, if given, picks the rows to keep. After an error the batch
// has the rows that came before.
func (c *cursor) collect(ctx context.Context, q store.ReadQuery, limit int, bytes int64,
	wanted func(*store.Row) bool) (batch, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.answerTimeout)
	defer cancel()
	var late atomic.Bool
	defer time.AfterFunc(c.budget.Longest, func() { late.Store(true) }).Stop()
	// Full batches come one after another, so expect as many records as last time.
	likely := min(limit, c.lastFound+64)
	b := batch{ids: make([]int64, 0, likely), records: make([]*Record, 0, likely)}
	slab := make([]Record, 0, likely)
	idsWentBack, shown, highest := false, 0, c.inFlight.Highest()
	info, err := c.store.Read(ctx, q, func(row *store.Row) bool {
		shown++
		b.last = row.ID
		held, same := false, false
		if row.ID <= highest {
			held, same = c.inFlight.Lookup(row.ID, row.EventID)
		}
		if held && !same {
			idsWentBack = true
			return false
		}
		if wanted != nil && !wanted(row) {
			b.cut = late.Load() // the rows may be large and many
			return !b.cut
		}
		held = held || c.shelf.Len() > 0 && c.shelf.Has(row.ID)
		b.ids = append(b.ids, row.ID)
		if held {
			return true
		}
		if len(slab) == cap(slab) {
			slab = make([]Record, 0, min(limit, 4*cap(slab)+64))
		}
		slab = append(slab, Record{})
		r := &slab[len(slab)-1]
		newRecord(r, row)
		b.records = append(b.records, r)
		b.size += recordSize(r)
		b.cut = len(b.records) >= limit || b.size >= bytes || late.Load()
		return !b.cut
	})
	switch {
	case err != nil && len(b.ids) == 0:
		return batch{}, err
	case info.Standby:
		return batch{}, ErrStandby
	case info.Server != c.term.lease.Server:
		return batch{}, store.ErrServerChanged
	case idsWentBack:
		return batch{}, errIDsWentBack
	}
	b.cut = b.cut || shown >= q.Limit || err != nil
	return b, err
}

// resume makes the next read ask for all ids that the checkpoint does not prove.
func (c *cursor) resume() {
	c.head = 0
	c.gaps.Reset()
	p := c.term.checkpoint.Load()
	if p == nil {
		return
	}
	c.head = p.UpTo
	for _, open := range p.Open {
		c.gaps.Add(store.Range{Lo: open[0], Hi: open[1]})
	}
}

// probeDue reports whether it is time to look at the open writers.
func (c *cursor) probeDue() bool {
	if c.gaps.Crowded() && !c.probe.Cached {
		return true
	}
	return c.gaps.Waiting() && c.probe.Due(time.Now())
}

// probeWriters finds out which gaps can be forgotten. It runs after a read, never during one. At that time a
// writer that took an id which the read missed is still open, or its row is visible to the next read.
func (c *cursor) probeWriters(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.answerTimeout)
	defer cancel()
	w, err := c.store.OpenWriters(ctx)
	c.probe.Schedule(time.Now(), err == nil && w.Known)
	if err != nil {
		return err
	}
	c.gaps.Observe(w)
	return nil
}

// checkpointEvery is how often a session with much in flight updates the checkpoint. A session with little in
// flight does so after each read.
const checkpointEvery = time.Second

// checkpointRest is the shortest pause after such an update, as a multiple of the time that the update took.
const checkpointRest = 20

// updateCheckpoint updates the checkpoint between two reads. Then every row up to the head is in flight, on
// the shelf, in a gap, or deleted.
func (c *cursor) updateCheckpoint(now time.Time) {
	held, _, _ := c.inFlight.Counts()
	before := c.term.checkpoint.Load()
	if held+c.shelf.Len()+c.gaps.Len() == 0 && before != nil && before.UpTo == c.head && len(before.Open) == 0 {
		return
	}
	if c.head == 0 || held+c.shelf.Len() > 64 && now.Before(c.checkpointDue) {
		return
	}
	defer func() { c.checkpointDue = now.Add(max(checkpointEvery, checkpointRest*time.Since(now))) }()
	var ids []int64
	for _, e := range c.inFlight.Rows() {
		ids = append(ids, e.ID)
	}
	p := checkpoint.New(c.term.lease.Server, c.head, c.gaps.Ranges(), append(ids, c.shelf.IDs()...))
	if !p.Equal(before) {
		c.term.checkpoint.Store(p)
	}
}

// reloadCheckpoint reads the checkpoint from the lease row after an error.
func (c *cursor) reloadCheckpoint(ctx context.Context) error {
	if !c.checkpointStale {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.answerTimeout)
	defer cancel()
	if c.term.checkpoint.RowIsWrong() {
		c.checkpointStale = false
		return nil
	}
	text, err := c.store.ReadNote(ctx, c.term.lease, store.FieldCheckpoint)
	if err == nil {
		c.checkpointStale = false
		c.term.checkpoint.Store(checkpoint.Parse(text, c.term.lease.Server))
		c.resume()
	}
	return err
}
