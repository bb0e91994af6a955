package relay

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/postroom/postroom/internal/dialect"
)

var (
	errIDsWentBack  = errors.New("ids have come back, after a failover or a restore")
	errNotDelivered = errors.New("records were read and not handed to the sink")
)

// readLoop reads and delivers until ctx ends, or the term has to.
func (s *session) readLoop(ctx context.Context) {
	retry := newBackoff(s.relay.cfg.RetryMin, s.relay.cfg.RetryMax)
	s.resume()
	if s.keeper.sweepDue.IsZero() && s.head == 0 {
		s.keeper.sweepDue = time.Now().Add(s.relay.cfg.sweepEvery) // the reads look at everything themselves
	}
	defer s.endSweep()
	for ctx.Err() == nil && s.waitForRoom(ctx) {
		if s.readFromStart.Swap(false) {
			s.startOver()
			s.keeper.blocked.forget()
		}
		found, limit := 0, 1
		err := s.reloadCheckpoint(ctx)
		if err == nil {
			err = s.loadBlocked(ctx)
		}
		if err == nil {
			found, limit, err = s.poll(ctx)
		}
		if err == nil {
			err = s.sendFromShelf(ctx)
		}
		if err == nil && s.requestsDue() {
			err = s.handleRequests(ctx)
		}
		if err == nil && s.probeDue() {
			err = s.probeWriters(ctx)
		}
		s.gaps.merge()
		if err == nil {
			err = s.sweep(ctx, found, limit)
		}
		s.keeper.endIfLost(err)
		switch {
		case ctx.Err() != nil, s.keeper.term.Err() != nil:
			return
		case errors.Is(err, errNotDelivered):
			return
		case err != nil:
			s.readAgain() // the next answer may come from another server
			s.relay.health.paused(partDatabase, err)
			if !retry.wait(ctx) {
				return
			}
			continue
		}
		retry.reset()
		s.relay.health.resumed(partDatabase)
		s.updateCheckpoint(time.Now())
		s.saveTopics(ctx, time.Now())
		if wait := s.polling.after(found, limit); wait > 0 && !s.requestsPending && !sleep(ctx, wait, s.relay.wake) {
			return
		}
	}
}

// readAgain forgets what was read, and asks the lease row what is proved: another state of
// the tables may answer next. Rows in flight come back, and are known by the set.
func (s *session) readAgain() {
	s.startOver()
	s.checkpointStale = true
}

// startOver forgets what was read and what is proved.
func (s *session) startOver() {
	s.keeper.checkpoint.Store(nil)
	s.resume()
	s.blockedLoaded = false
	s.shelf.clear()
	s.onShelf.Store(0)
}

// roomSoon is how long a read waits for the room that is worth its round trip. Records of
// a partition that stands still may hold the rest for hours.
const roomSoon = 50 * time.Millisecond

// waitForRoom waits until the bounds on records in flight allow a read, as a rule one
// that is worth its round trip.
func (s *session) waitForRoom(ctx context.Context) bool {
	enough := time.NewTimer(roomSoon)
	defer enough.Stop()
	for late := false; ; {
		rows, bytes := s.room()
		cfg := &s.relay.cfg
		need := max(1, min(cfg.BatchSize, cfg.MaxInFlight/2))
		if rows > 0 && bytes > 0 && (rows >= need || late) {
			return true
		}
		if rows+s.flights.undeleted() >= need {
			signal(s.deleteNow) // what the deleter gathers is what takes the room
		}
		select {
		case <-s.flights.changed:
		case <-enough.C:
			late = true
		case <-ctx.Done():
			return false
		}
	}
}

func (s *session) room() (rows int, bytes int64) {
	held, _, size := s.flights.counts()
	return s.relay.cfg.MaxInFlight - held, s.relay.cfg.MaxInFlightBytes - size
}

// poll reads once and delivers what it found. What a read had shown before it failed is
// good, as the part of a read that was cut is: over a slow link nothing else may come.
func (s *session) poll(ctx context.Context) (found, limit int, err error) {
	rows, bytes := s.room()
	cfg := &s.relay.cfg
	// A read takes no more than half of the window: split judges a lane that moves before a
	// read, and not within it.
	rows, bytes = min(rows, max(1, cfg.MaxInFlight/2)), min(bytes, s.budget.bytes, max(1, cfg.MaxInFlightBytes/2))
	// No more than fit: what a read is cut short of was sent by the server for nothing.
	limit = min(rows, cfg.BatchSize, int(bytes/s.typical)+1, s.shelfRoom())
	if limit <= 0 {
		return 0, 1, nil // the shelf is full
	}
	began := time.Now()
	batch, err := s.read(ctx, limit, bytes)
	s.budget.adapt(batch, time.Since(began), err)
	if found = len(batch.records); found == 0 { // dispatch sorts the slice
		return 0, limit, err
	}
	before := s.handedOver
	if failed := s.dispatch(ctx, s.holdBack(ctx, batch.records)); failed != nil {
		return found, limit, failed
	}
	if s.handedOver == before && len(s.shelf.rows) > 0 {
		found = 0 // the shelf fills without haste
	}
	return found, limit, err
}

// shelfRoom is how many more rows the shelf may hold. Merged gaps show its rows again in
// each read, so then it must be small.
func (s *session) shelfRoom() int {
	if s.gaps.coarse() {
		return s.relay.cfg.MaxInFlight - len(s.shelf.rows)
	}
	return maxShelved - len(s.shelf.rows)
}

// batch is what a read found.
type batch struct {
	records []*Record
	ids     []int64 // of all rows that it showed, those in flight included
	last    int64   // the highest of them
	size    int64   // of the records
	cut     bool    // it ended before it had shown all that it asked for
}

// read asks for all gaps and for rows above the head in one statement, notes what it
// has seen, and returns the records that are not in flight. With an error it returns those
// that it had seen before.
func (s *session) read(ctx context.Context, limit int, bytes int64) (batch, error) {
	forget := s.gaps.proven()
	q := dialect.ReadQuery{Gaps: s.gaps.ranges(), Asleep: s.gaps.asleep(), Head: s.head, Limit: limit + s.returning()}
	s.flights.beginRead()
	defer s.flights.endRead()
	b, failed := s.collect(ctx, q, limit, bytes, nil)
	if len(b.ids) == 0 && failed != nil {
		return batch{}, failed
	}
	if s.relay.store.TornReads() {
		if err := s.repairSnapshot(ctx, &b, limit, bytes); err != nil {
			return batch{}, err
		}
	}
	if b.cut && b.last <= s.head {
		forget = nil // not all gaps were shown; a row above the head comes after all of them
	} else {
		s.gaps.noteRead()
	}
	s.lastFound = len(b.records)
	if len(b.records) > 0 {
		// Quick to grow, slow to shrink.
		s.typical = max(b.size/int64(len(b.records)), s.typical*3/4, recordOverhead)
	}
	newHead := max(s.head, b.last)
	s.gaps.advance(s.head, newHead, b.ids, forget)
	s.head = newHead
	return b, failed
}

// returning is how many rows in flight a read may show again: none as a rule, all of
// them where gaps were merged over them, and until a read from the start has passed them.
func (s *session) returning() int {
	if !s.gaps.coarse() && s.head >= s.highest {
		return 0
	}
	held, _, _ := s.flights.counts()
	return held + len(s.shelf.rows)
}

// collect runs one statement. wanted, if given, picks the rows to keep. After an error
// the batch has the rows that came before it, if they are to be used.
func (s *session) collect(ctx context.Context, q dialect.ReadQuery, limit int, bytes int64, wanted func(*dialect.Row) bool) (batch, error) {
	ctx, cancel := context.WithTimeout(ctx, s.relay.cfg.answerTimeout)
	defer cancel()
	var late atomic.Bool
	defer time.AfterFunc(s.budget.longest, func() { late.Store(true) }).Stop()
	// Room for as many as last time: full batches come one after another.
	likely := min(limit, s.lastFound+64)
	b := batch{ids: make([]int64, 0, likely), records: make([]*Record, 0, likely)}
	slab := make([]Record, 0, likely)
	cameBack, shown := false, 0
	info, err := s.relay.store.Read(ctx, q, func(row *dialect.Row) bool {
		shown++
		b.last = row.ID
		held, same := false, false
		if row.ID <= s.highest {
			held, same = s.flights.lookup(row.ID, row.EventID)
		}
		if held && !same {
			cameBack = true
			return false
		}
		if wanted != nil && !wanted(row) {
			b.cut = late.Load() // they may be as large and as many as they like
			return !b.cut
		}
		held = held || len(s.shelf.rows) > 0 && s.shelf.has(row.ID)
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
	case info.Server != s.lease.Server:
		return batch{}, dialect.ErrServerChanged
	case cameBack:
		return batch{}, errIDsWentBack
	}
	b.cut = b.cut || shown >= q.Limit || err != nil
	return b, err
}
