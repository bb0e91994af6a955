package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/health"
	"github.com/postroom/postroom/relay/internal/inflight"
	"github.com/postroom/postroom/relay/internal/pacing"
)

// session is one run of reading, delivering and deleting, which happen at the same time. It ends when a
// record fails, when the term ends, or when Run has to stop.
//
// Its parts know only those other parts that newSession gives them. The session calls them in order: see
// readRound, dispatch and deleter.run.
type session struct {
	part
	relay *Relay
	out   Session

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

// outcome is the result of a session.
type outcome struct {
	outage      error             // the first failure that was not a rejection
	rejected    []*RejectedError  // records that were rejected alone, or would be
	rejection   bool              // a record was rejected, alone or as part of a batch
	undelivered int               // records that were given up when the session was closed
	leftover    []store.Delivered // delivered rows that are not known to be deleted
	progress    bool              // a record was delivered
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
	out, err := s.open(ctx, stop)
	if err != nil {
		return outcome{outage: err, leftover: s.inFlight.Leftover()}
	}
	s.useSink(out)

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
	s.out.Close()
	s.waitDeleted(stop)
	stopDeleting()
	background.Wait()
	s.end(ctx, stop)
	return s.outcome()
}

// useSink sets the sink's session.
func (s *session) useSink(out Session) {
	s.out = out
	s.quarantine.validator, _ = out.(Validator)
	s.isolation.sinkLanes, _ = out.(Lanes)
	s.isolation.trialsFrom = s.isolation.trials.Rest(time.Now())
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

func (s *session) outcome() outcome {
	out := outcome{leftover: s.inFlight.Leftover(), progress: s.inFlight.DeliveredTotal() > 0}
	if s.halted != nil {
		out.rejected = append(out.rejected, s.halted)
	}
	rejectedTogether := make(map[string]int) // by topic: records that were rejected as part of a batch
	for i, f := range s.inFlight.Failures() {
		switch {
		case errors.Is(f.Err, ErrRejected):
			out.rejection = true
			topic := f.Entry.Lane.Topic.Name
			overtaken := s.overtaken(f.Entry)
			if s.isolation.trials.Alone(f.Entry) {
				out.rejected = append(out.rejected, &RejectedError{Table: s.table, ID: f.Entry.ID,
					EventID: f.Entry.EventID, Topic: topic, Err: f.Err, Overtaken: overtaken, hash: f.Entry.Hash,
					seq: f.Entry.Seq})
			} else if overtaken {
				s.relay.overtaken[f.Entry.EventID] = topic
			}
			rejectedTogether[topic]++
		case errors.Is(f.Err, context.Canceled) && i >= s.failuresBeforeStop: // the sink never accepted them
		case errors.Is(f.Err, ErrGivenUp):
			out.undelivered++
		case out.outage == nil:
			out.outage = f.Err
			out.undelivered++
		default:
			out.undelivered++
		}
	}
	for topic, n := range rejectedTogether {
		s.isolation.trials.Reject(topic, n)
	}
	s.isolation.trials.SessionEnded()
	return out
}

// overtaken reports whether later events of a rejected record's key were delivered, now or when
// it was rejected as part of a batch.
func (s *session) overtaken(e *inflight.Entry) bool {
	_, known := s.relay.overtaken[e.EventID]
	return known || s.inFlight.Overtaken(e)
}

// watchSink logs when the sink acknowledges nothing for a long time, because a sink that retries during an
// outage reports no error.
func (s *session) watchSink(ctx context.Context) {
	const patience = 10 * time.Second
	lastTotal, since := int64(-1), time.Now()
	reporter, _ := s.out.(OutageReporter)
	for pacing.Sleep(ctx, time.Second, nil) {
		if reporter != nil {
			if err := reporter.Outage(); err != nil {
				s.health.Paused(health.Sink, err)
				continue
			}
		}
		_, waiting, _ := s.inFlight.Counts()
		total := s.inFlight.DeliveredTotal()
		if total != lastTotal || waiting == 0 {
			idle := s.transaction != nil && waiting == 0 && total == lastTotal // Open has asked the sink
			if total > 0 && total != lastTotal || idle {
				s.health.Resumed(health.Sink)
			}
			lastTotal, since = total, time.Now()
			continue
		}
		if reporter == nil && time.Since(since) >= patience {
			s.health.Paused(health.Sink, errSilentSink)
		}
	}
}

var errSilentSink = errors.New("the sink has acknowledged nothing for 10s: is the broker reachable, and the " +
	"topic there?")

// openSinkSession opens the session that the mode asks for.
func (s *session) openSinkSession(ctx context.Context) (Session, error) {
	r, t := s.relay, s.term
	if r.cfg.Mode != ExactlyOnce && t.mode != ExactlyOnce {
		return r.cfg.Sink.Open(ctx, s.ack)
	}
	sink, ok := r.cfg.Sink.(Transactional)
	if !ok {
		return nil, fmt.Errorf("%w: %s was relayed %s until now, and this sink has no transactions: run the relay "+
			"once more with the Kafka that it used, then change the sink",
			ErrUnusable, r.cfg.table(), t.mode)
	}
	tx, err := s.openTransaction(ctx, sink)
	if err != nil {
		return nil, err
	}
	if t.mode != r.cfg.Mode {
		if err := r.store.Note(ctx, s.term.lease, store.Mode(string(r.cfg.Mode))); err != nil {
			tx.tx.Close()
			s.term.endIfLost(err)
			return nil, fmt.Errorf("keep the mode: %w", err)
		}
		r.logModeChange(t.mode)
		t.mode = r.cfg.Mode
	}
	if r.cfg.Mode != ExactlyOnce {
		tx.tx.Close()
		return r.cfg.Sink.Open(ctx, s.ack)
	}
	s.transaction, s.isolation.transactional = tx, true
	return tx.tx, nil
}
