package relay

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/postroom/postroom/internal/dialect"
)

// session is one run of reading, delivering and deleting, all at the same time. It
// ends when a record fails, when the turn ends, and when Run is asked to stop.
type session struct {
	relay   *Relay
	keeper  *keeper
	lease   dialect.Lease
	flights *flights
	out     Session

	// The reader's own: nobody else touches them.
	head     int64
	highest  int64 // id that was ever in flight in this session
	gaps     gapSet
	server   string
	suspects int64 // records up to this id are sent one at a time
	pace     pace
	// lastFound is how many records the last read found, typical the size that one
	// of the next is expected to have.
	lastFound int
	typical   int64

	reread atomic.Bool   // the deleter asks for a read from the start
	hurry  chan struct{} // the deleter is asked not to wait for more
	untold int           // failures from before Deliver was told to stop
}

// outcome is what became of a session.
type outcome struct {
	outage      error               // the first failure that was not a rejection
	rejected    *RejectedError      // a record that was refused alone
	suspects    int64               // one of the records up to this id was refused; 0: none
	undelivered int                 // were given up when the session was closed
	leftover    []dialect.Delivered // delivered, but not known to be deleted
	progress    bool                // something was delivered
}

func newSession(r *Relay, k *keeper) *session {
	return &session{
		relay: r, keeper: k, lease: k.lease, flights: newFlights(),
		gaps: gapSet{max: r.cfg.maxGaps}, pace: newPace(r.cfg), hurry: make(chan struct{}, 1),
		typical: r.cfg.MaxInFlightBytes/firstRead + 1,
	}
}

// firstRead is how many rows the first read of a session asks for, before it is known
// how large they are.
const firstRead = 128

// resolveTimeout is how long a session that failed waits for its other records. Past
// it they are given up, which may duplicate them: the broker may have them.
const resolveTimeout = 10 * time.Second

// run works until the session ends. stop asks it to drain.
func (s *session) run(stop context.Context, suspects int64) outcome {
	s.suspects = suspects
	ctx, cancel := context.WithCancel(s.keeper.ctx)
	defer cancel()
	out, err := s.open(ctx, stop)
	if err != nil {
		return outcome{outage: err, suspects: suspects}
	}
	s.out = out

	var background sync.WaitGroup
	deleting, stopDeleting := context.WithCancel(ctx)
	background.Go(func() { s.deleteLoop(deleting) })
	background.Go(func() { s.watchSink(deleting) })

	s.readUntil(stop, ctx)
	s.settle(stop)
	s.out.Close()
	s.waitDeleted(stop)
	stopDeleting()
	background.Wait()
	return s.outcome()
}

// open opens the sink. A stop ends an Open that hangs: nothing is on its way yet.
func (s *session) open(ctx, stop context.Context) (Session, error) {
	ctx, cancel := context.WithCancel(ctx) // ends with run: the session may use it
	defer context.AfterFunc(stop, cancel)()
	return s.relay.cfg.Sink.Open(ctx, s.flights.ack)
}

// readUntil runs the reader until the session has to end. Deliver may be blocked by
// a sink that is full: a failure or a stop ends that too, and what the sink had not
// taken is acknowledged with context.Canceled.
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
	case <-s.flights.ackedFailed:
	case <-stop.Done():
	case <-ctx.Done():
	}
	s.untold = len(s.flights.failures())
	cancel()
	<-finished
}

// settle waits for the records on their way: until Run's drain timeout when it was
// asked to stop, else until resolveTimeout, and not at all when the lease is lost.
func (s *session) settle(stop context.Context) {
	s.waitFor(stop, resolveTimeout, func() bool {
		_, waiting, _ := s.flights.counts()
		return waiting == 0
	})
}

// waitDeleted waits until all that was delivered is deleted. A failed delete is tried
// again for as long as the lease holds; a stop waits no longer than the drain timeout.
func (s *session) waitDeleted(stop context.Context) {
	s.waitFor(stop, 2*s.relay.cfg.LeaseTTL, func() bool {
		signal(s.hurry)
		return s.flights.undeleted() == 0
	})
}

// waitFor waits for done as long as limit allows, or the drain timeout from a stop on.
func (s *session) waitFor(stop context.Context, limit time.Duration, done func() bool) {
	deadline, stopped := time.NewTimer(limit), stop.Done()
	defer deadline.Stop()
	for !done() {
		select {
		case <-s.flights.changed:
		case <-stopped:
			stopped = nil
			deadline.Reset(s.relay.cfg.DrainTimeout)
		case <-deadline.C:
			return
		case <-s.keeper.ctx.Done():
			return
		}
	}
}

func (s *session) outcome() outcome {
	out := outcome{leftover: s.flights.leftover(), progress: s.flights.deliveredTotal() > 0}
	for i, f := range s.flights.failures() {
		switch {
		case errors.Is(f.err, ErrRejected) && f.record.ID <= s.suspects:
			out.rejected = s.rejection(f)
		case errors.Is(f.err, ErrRejected):
			out.suspects = max(out.suspects, f.record.ID)
		case errors.Is(f.err, context.Canceled) && i >= s.untold: // never taken by the sink
		case errors.Is(f.err, ErrGivenUp):
			out.undelivered++
		case out.outage == nil:
			out.outage = f.err
			out.undelivered++
		default:
			out.undelivered++
		}
	}
	if out.suspects == 0 && out.rejected == nil && s.head < s.suspects {
		out.suspects = s.suspects // not all of them were tried
	}
	return out
}

func (s *session) rejection(f failure) *RejectedError {
	r := f.record
	return &RejectedError{Table: s.relay.store.Table(), ID: r.ID, EventID: r.EventID, Topic: r.Topic, Err: f.err}
}

// watchSink tells of a sink that keeps records for long without a word: one that
// rides out an outage by itself does not report an error.
func (s *session) watchSink(ctx context.Context) {
	const patience = 10 * time.Second
	lastTotal, since := int64(-1), time.Now()
	for sleep(ctx, time.Second, nil) {
		_, waiting, _ := s.flights.counts()
		total := s.flights.deliveredTotal()
		if total != lastTotal || waiting == 0 {
			if total > 0 && total != lastTotal {
				s.relay.health.resumed(partSink)
			}
			lastTotal, since = total, time.Now()
			continue
		}
		if time.Since(since) >= patience {
			s.relay.health.paused(partSink, errSilentSink)
		}
	}
}

var errSilentSink = errors.New("the sink has acknowledged nothing for 10s: is the broker reachable, and the topic there?")

// newRecord copies a row out of the driver's buffers.
func newRecord(into *Record, row *dialect.Row) {
	*into = Record{
		ID: row.ID, EventID: uuid.UUID(row.EventID), Topic: row.Topic, Key: row.Key, Type: row.Type,
		Payload: row.Payload, Headers: row.Headers, CreatedAt: row.CreatedAt,
	}
}
