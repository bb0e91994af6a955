package relay

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/postroom/postroom/relay/internal/health"
	"github.com/postroom/postroom/relay/internal/inflight"
	"github.com/postroom/postroom/relay/internal/lanes"
	"github.com/postroom/postroom/relay/internal/pacing"
)

// session is one run of reading, delivering and deleting, which happen at the same time. It ends when a
// record fails, when the term ends, or when Run has to stop.
//
// Its parts know only those other parts that newSession gives them. The session calls them in order: see run,
// readLoop and readRound here, then cursor.read, dispatch and deleter.run.
type session struct {
	part
	relay *Relay
	sink  Session

	// These fields belong to the goroutine that reads.
	cursor     *cursor
	isolation  *isolation
	quarantine *quarantine
	polling    pacing.PollInterval
	halted     *RejectedError // with the policy halt: the record that would be rejected
	handedOver int            // number of records that the sink was given

	deleter            *deleter
	transaction        *transaction // nil: at-least-once mode
	failuresBeforeStop int          // failures from before Deliver was stopped
}

var (
	errIDsWentBack  = errors.New("ids have come back, after a failover or a restore")
	errNotDelivered = errors.New("records were read and not handed to the sink")
)

// part has what every part of a session needs, except its own interface to the database.
type part struct {
	cfg      *Config
	health   *health.Health
	log      *slog.Logger
	table    string // the outbox table's name, for messages
	term     *term
	inFlight *inflight.Set

	singleSnapshot bool // see Relay
}

func (r *Relay) part(t *term) part {
	return part{cfg: &r.cfg, health: r.health, log: r.log, table: r.cfg.table(), term: t,
		singleSnapshot: r.singleSnapshot}
}

func newSession(r *Relay, t *term) *session {
	p := r.part(t)
	p.inFlight = inflight.New()
	s := &session{part: p, relay: r, polling: pacing.NewPollInterval(r.cfg.PollMax)}
	s.isolation = newIsolation(p.cfg, p.inFlight, t.trials)
	s.cursor = newCursor(p, r.store, &s.isolation.shelf)
	s.quarantine = newQuarantine(p, r.store, r.topics, &r.leftover, s.resend)
	s.deleter = newDeleter(p, r.store, &s.isolation.shelf)
	r.recentTopics.Reload()
	return s
}

// resolveTimeout is how long a session that failed waits for its other records. After that they are given up.
// They may be duplicated then, because the broker may have them.
const resolveTimeout = 10 * time.Second

// run works until the session ends. When stop ends, the session drains.
func (s *session) run(stop context.Context) outcome {
	ctx, cancel := context.WithCancel(s.term.ctx)
	defer cancel()
	opened, err := s.open(ctx, stop)
	if err != nil {
		return outcome{outage: err, leftover: s.inFlight.Leftover()}
	}
	s.useSink(opened)

	var background sync.WaitGroup
	deleting, stopDeleting := context.WithCancel(ctx)
	background.Go(func() { s.deleter.run(deleting) })
	background.Go(func() { s.deleter.retryLocked(deleting) })
	background.Go(func() { s.watchSink(deleting) })
	if s.transaction != nil {
		background.Go(func() { s.transaction.confirmLoop(deleting) })
	}

	s.readUntil(stop, ctx)
	s.settle(stop)
	s.sink.Close()
	s.waitDeleted(stop)
	stopDeleting()
	background.Wait()
	s.end(ctx, stop)
	return s.outcome()
}

// useSink sets the sink's session.
func (s *session) useSink(opened Session) {
	s.sink = opened
	s.quarantine.validator, _ = opened.(Validator)
	s.isolation.sinkLanes, _ = opened.(Lanes)
	s.isolation.trialsFrom = s.isolation.trials.Rest(time.Now())
}

// open opens the sink. A stop ends an Open that hangs, because no record is on its way yet.
func (s *session) open(ctx, stop context.Context) (Session, error) {
	ctx, cancel := context.WithCancel(ctx) // ends with run: the session may use it
	defer context.AfterFunc(stop, cancel)()
	return s.openSinkSession(ctx)
}

// readUntil runs the reader until the session has to end: a record has failed, Run has to stop, or the term
// has ended. The end also releases a Deliver that is blocked by a full sink. The sink acknowledges the
// records that it did not accept with context.Canceled.
func (s *session) readUntil(stop, ctx context.Context) {
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		s.readLoop(reading)
	}()
	select {
	case <-finished:
	case <-s.inFlight.HasFailed:
	case <-stop.Done():
	case <-s.term.active.Done():
	}
	failures := s.inFlight.Failures()
	s.failuresBeforeStop = len(failures)
	cancel()
	<-finished
	if slices.ContainsFunc(failures, func(f inflight.Failure) bool { return errors.Is(f.Err, ErrRejected) }) {
		s.isolation.trials.NoteRejection(time.Now())
	}
}

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

// settle waits until the sink has acknowledged all of its records. It waits at most for resolveTimeout, or
// for the drain timeout when Run has to stop. It does not wait at all when the lease is lost.
func (s *session) settle(stop context.Context) {
	s.waitFor(stop, s.term.ctx, resolveTimeout, func() bool {
		_, waiting, _ := s.inFlight.Counts()
		return waiting == 0
	})
}

// waitDeleted waits until all delivered rows are deleted. A failed delete is tried again while the lease is
// held. After a stop it waits at most for the drain timeout. When the term has ended, the next term deletes
// the rows.
func (s *session) waitDeleted(stop context.Context) {
	s.waitFor(stop, s.term.active, 2*s.cfg.LeaseTTL, func() bool {
		pacing.Signal(s.deleter.deleteNow)
		return s.inFlight.Undeleted() == 0
	})
}

// waitFor waits until done returns true, ctx ends, or limit is over. After a stop the limit is the drain
// timeout.
func (s *session) waitFor(stop, ctx context.Context, limit time.Duration, done func() bool) {
	deadline, stopped := time.NewTimer(limit), stop.Done()
	defer deadline.Stop()
	for !done() {
		select {
		case <-s.inFlight.Changed:
		case <-stopped:
			stopped = nil
			deadline.Reset(s.cfg.DrainTimeout)
		case <-deadline.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// end does what is left after reading, delivering and deleting have ended: it deletes rows that were locked
// and parked rows that were delivered, and saves the position. If the lease is lost, or there is no time left
// after a stop, the next owner does it.
func (s *session) end(ctx, stop context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(stop, func() { time.AfterFunc(s.cfg.DrainTimeout, cancel) })()
	if rows := s.inFlight.Locked(); len(rows) > 0 {
		_, _ = s.deleter.deleteUnlocked(ctx, rows, 0) // a lock may be gone, or the last attempt was cut off
	}
	if err := s.quarantine.deleteReplayed(ctx); err != nil {
		s.term.endIfLost(err)
		s.health.Paused(health.Deletes, err)
	}
	if s.transaction != nil {
		s.transaction.savePosition(ctx)
	}
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

// shelfRoom is how many more rows the shelf may hold. Reads of merged gaps return its rows
// again, so the shelf must be small then.
func (s *session) shelfRoom() int {
	if s.cursor.gaps.Coarse() {
		return s.cfg.MaxInFlight - s.isolation.shelf.Len()
	}
	return lanes.MaxShelved - s.isolation.shelf.Len()
}
