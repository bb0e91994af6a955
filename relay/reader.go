package relay

import (
	"context"
	"errors"
	"time"

	"github.com/postroom/postroom/relay/internal/health"
	"github.com/postroom/postroom/relay/internal/lanes"
	"github.com/postroom/postroom/relay/internal/pacing"
)

var (
	errIDsWentBack  = errors.New("ids have come back, after a failover or a restore")
	errNotDelivered = errors.New("records were read and not handed to the sink")
)

// readLoop reads and delivers until ctx ends, or until the term has to end.
func (s *session) readLoop(ctx context.Context) {
	retry := pacing.NewBackoff(s.cfg.RetryMin, s.cfg.RetryMax)
	s.cursor.resume()
	if s.term.sweepDue.IsZero() && s.cursor.head == 0 {
		s.term.sweepDue = time.Now().Add(s.cfg.sweepEvery) // the first reads look at every row anyway
	}
	defer s.cursor.endSweep()
	for ctx.Err() == nil && s.waitForRoom(ctx) {
		found, limit, err := s.readRound(ctx)
		s.term.endIfLost(err)
		switch {
		case ctx.Err() != nil, s.term.active.Err() != nil:
			return
		case errors.Is(err, errNotDelivered):
			return
		case err != nil:
			s.readAgain() // the next answer may come from another server
			s.health.Paused(health.Database, err)
			if !retry.Wait(ctx) {
				return
			}
			continue
		}
		retry.Reset()
		s.health.Resumed(health.Database)
		s.cursor.updateCheckpoint(time.Now())
		s.saveTopics(ctx)
		wait := s.polling.After(found, limit)
		if wait > 0 && !s.quarantine.requestsPending && !pacing.Sleep(ctx, wait, s.relay.wake) {
			return
		}
	}
}

// readRound is what the reader does between two waits. It returns how many new rows the read found, and how
// many it asked for. An error ends the round, and the rows of the round are read again.
func (s *session) readRound(ctx context.Context) (found, limit int, err error) {
	if s.deleter.readFromStart.Swap(false) {
		s.startOver()
		s.term.blocked.forget()
	}
	// These must be known before a row is read: where to begin, and which keys are blocked.
	if err := s.cursor.reloadCheckpoint(ctx); err != nil {
		return 0, 1, err
	}
	if err := s.quarantine.load(ctx); err != nil {
		return 0, 1, err
	}
	// Read new rows first, then send those from the shelf that may go now.
	found, limit, err = s.readAndDeliver(ctx)
	if err != nil {
		return found, limit, err
	}
	if err := s.sendFromShelf(ctx); err != nil {
		return found, limit, err
	}
	if s.quarantine.requestsDue() {
		if err := s.quarantine.handleRequests(ctx); err != nil {
			return found, limit, err
		}
	}
	// Find out which gaps need no further reads, and whether there is a row that no read asks for.
	if s.cursor.probeDue() {
		if err := s.cursor.probeWriters(ctx); err != nil {
			return found, limit, err
		}
	}
	s.cursor.gaps.Merge()
	return found, limit, s.cursor.stepSweep(ctx, found, limit)
}

// saveTopics writes the topics in use into the lease row. Delivery does not depend on it.
func (s *session) saveTopics(ctx context.Context) {
	recent, now := &s.relay.recentTopics, time.Now()
	if !recent.SaveDue(now) {
		return
	}
	err := s.cfg.bounded(ctx, func(ctx context.Context) error {
		return recent.Save(ctx, s.relay.store, s.term.lease, now)
	})
	if err != nil {
		s.term.endIfLost(err)
		s.log.Debug("could not keep the topics in use for relay doctor", "error", err)
	}
}

// readAgain forgets what was read, and has the checkpoint read from the lease row, because the next answer
// may come from another state of the tables. The next reads return the rows in flight again, and the
// in-flight set recognises them.
func (s *session) readAgain() {
	s.startOver()
	s.cursor.checkpointStale = true
}

// startOver forgets what was read, and the checkpoint.
func (s *session) startOver() {
	s.term.checkpoint.Store(nil)
	s.cursor.resume()
	s.quarantine.loaded = false
	s.isolation.shelf.Clear()
}

// roomSoon is how long the reader waits for enough room to make a read worth its round trip. It does not wait
// longer, because the records of a blocked partition may use the rest of the room for hours.
const roomSoon = 50 * time.Millisecond

// waitForRoom waits until the bounds on records in flight allow a read. It returns false when
// ctx has ended.
func (s *session) waitForRoom(ctx context.Context) bool {
	enough := time.NewTimer(roomSoon)
	defer enough.Stop()
	for late := false; ; {
		rows, bytes := s.room()
		cfg := s.cfg
		need := max(1, min(cfg.BatchSize, cfg.MaxInFlight/2))
		if rows > 0 && bytes > 0 && (rows >= need || late) {
			return true
		}
		if rows+s.inFlight.Undeleted() >= need {
			pacing.Signal(s.deleter.deleteNow) // delivered rows that are not deleted yet use up the room
		}
		select {
		case <-s.inFlight.Changed:
		case <-enough.C:
			late = true
		case <-ctx.Done():
			return false
		}
	}
}

func (s *session) room() (rows int, bytes int64) {
	held, _, size := s.inFlight.Counts()
	return s.cfg.MaxInFlight - held, s.cfg.MaxInFlightBytes - size
}

// readAndDeliver reads once and delivers the rows that it found. If the read fails, it also delivers the rows
// that came before the failure, because over a slow link no read may ever complete.
func (s *session) readAndDeliver(ctx context.Context) (found, limit int, err error) {
	rows, bytes := s.room()
	cfg := s.cfg
	// A read uses at most half of the window. This is needed because split checks before a read whether a
	// lane moves, and not during the read.
	rows, bytes = min(rows, max(1, cfg.MaxInFlight/2)),
		min(bytes, s.cursor.budget.Bytes, max(1, cfg.MaxInFlightBytes/2))
	// Ask for no more rows than fit, because the server would send the others for nothing.
	limit = min(rows, cfg.BatchSize, int(bytes/s.cursor.typical)+1, s.shelfRoom())
	if limit <= 0 {
		return 0, 1, nil // the shelf is full
	}
	began := time.Now()
	batch, err := s.cursor.read(ctx, limit, bytes)
	s.cursor.budget.Adapt(batch.size, batch.cut, time.Since(began), err)
	if found = len(batch.records); found == 0 { // dispatch sorts the slice
		return 0, limit, err
	}
	before := s.handedOver
	if failed := s.dispatch(ctx, s.isolation.holdBack(ctx, batch.records)); failed != nil {
		return found, limit, failed
	}
	if s.handedOver == before && s.isolation.shelf.Len() > 0 {
		found = 0 // the shelf may fill slowly
	}
	return found, limit, err
}

// shelfRoom is how many more rows the shelf may hold. Reads of merged gaps return its rows
// again, so the shelf must be small then.
func (s *session) shelfRoom() int {
	if s.cursor.gaps.Coarse() {
		return s.cfg.MaxInFlight - s.isolation.shelf.Len()
	}
	return lanes.MaxShelved - s.isolation.shelf.Len()
}
