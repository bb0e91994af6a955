package relay

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	sqldb "github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/inflight"
)

// modelRelay is a relay with its session, if it has one.
type modelRelay struct {
	*Relay
	m       *model
	term    *term
	session *session
	sink    *modelSession
	zombie  bool // its lease is lost, and it has not noticed
	// uncertain is true if the last delete failed, and may have committed.
	uncertain bool
}

// knows reports whether the process has delivered rows that may still be in the tables.
func (r *modelRelay) knows() bool { return len(r.leftover.events)+len(r.leftover.parked) > 0 }

func (r *modelRelay) claimLease() {
	if r.term != nil {
		return
	}
	k, err := r.claim(context.Background())
	if err != nil || k == nil {
		return
	}
	r.term, r.zombie = k, false
	r.begin()
}

// begin opens a session.
func (r *modelRelay) begin() {
	r.sink = nil
	if err := r.leftover.delete(context.Background(), r.part(r.term), r.store); err != nil {
		r.term.endIfLost(err)
		r.end(outcome{})
		return
	}
	s := newSession(r.Relay, r.term)
	out, err := s.open(modelContext{r}, context.Background())
	if err != nil {
		r.end(outcome{outage: err})
		return
	}
	s.useSink(out)
	s.cursor.resume()
	r.session = s
}

// innocents finds rows that were parked as rejected although they have no fault. A batch is rejected because
// of one record.
type innocents struct {
	*memStore
	m *model
}

func (s *innocents) Park(ctx context.Context, l store.Lease, rows []store.Parking) (int64, error) {
	for _, row := range rows {
		if row.State == sqldb.ParkedFailed && !s.m.poison[row.EventID] {
			s.m.t.Fatalf("row %d was not at fault, and is parked for it", row.ID)
		}
	}
	return s.memStore.Park(ctx, l, rows)
}

// end does what a term does after a session.
func (r *modelRelay) end(out outcome) {
	r.session = nil
	r.leftover.events = append(r.leftover.events, out.leftover...)
	if r.term.active.Err() != nil || r.zombie {
		_, _ = r.finishWithoutLease(context.Background(), r.term, out)
		r.term.cancel(nil)
		r.term, r.zombie = nil, false
		return
	}
	for _, rejected := range out.rejected {
		_ = r.parkRejected(r.term, rejected)
	}
	if r.m.healing || out.undelivered+len(r.leftover.events)+len(r.leftover.parked) > 0 ||
		rapid.Bool().Draw(r.m.t, "go on") {
		return // the next step begins a session
	}
	r.release(r.term)
	r.term.cancel(nil)
	r.term = nil
}

// close ends the session as run does: unacknowledged records are resolved or given up.
func (r *modelRelay) close() {
	s := r.session
	s.failuresBeforeStop = len(s.inFlight.Failures())
	for s.inFlight.Undeleted() > 0 && r.term.active.Err() == nil || r.sink != nil && len(r.sink.held) > 0 {
		if r.resolve(); !r.m.healing && rapid.IntRange(1, 3).Draw(r.m.t, "give up") == 1 {
			break
		}
		r.remove()
	}
	s.sink.Close()
	s.end(context.Background(), context.Background())
	r.end(s.outcome())
}

func (r *modelRelay) poll() {
	if r.session == nil {
		if r.term != nil {
			r.begin()
		}
		return
	}
	if r.zombie { // it notices when it is about to deliver
		r.term.endAtOnce(errLeaseExpired)
		r.close()
		return
	}
	s := r.session
	rows, bytes := s.room()
	if rows <= 0 || bytes <= 0 {
		return
	}
	if s.deleter.readFromStart.Swap(false) {
		s.startOver()
		r.term.blocked.forget()
	}
	err := s.cursor.reloadCheckpoint(modelContext{r})
	if err == nil {
		err = s.quarantine.load(modelContext{r})
	}
	s.isolation.shelfDue, s.isolation.trialsFrom = time.Time{}, time.Time{} // the model has no clock
	if err == nil {
		_, _, err = s.readAndDeliver(modelContext{r})
	}
	if err == nil {
		err = s.sendFromShelf(modelContext{r})
	}
	if err == nil {
		s.cursor.checkpointDue = time.Time{}
		s.cursor.updateCheckpoint(time.Now())
	}
	r.read(err)
}

// read notes how a step of the reader ended.
func (r *modelRelay) read(err error) {
	r.term.endIfLost(err)
	switch {
	case errors.Is(err, errNotDelivered), r.term.active.Err() != nil, len(r.session.inFlight.Failures()) > 0:
		r.close()
	case err != nil:
		r.session.readAgain()
	}
}

func (r *modelRelay) obey() {
	if r.session == nil || r.zombie {
		return
	}
	err := r.session.quarantine.load(modelContext{r})
	if err == nil {
		err = r.session.quarantine.handleRequests(modelContext{r})
	}
	r.read(err)
}

func (r *modelRelay) look() {
	if r.session != nil {
		_ = r.session.cursor.probeWriters(context.Background())
		r.session.cursor.gaps.Merge()
	}
}

// remove deletes delivered rows, as the deleter does.
func (r *modelRelay) remove() {
	if r.session == nil {
		return
	}
	s := r.session
	taken := s.inFlight.TakeDelivered(true, inflight.MaxDelete)
	if len(taken) == 0 {
		return
	}
	err := s.deleter.delete(context.Background(), taken, r.uncertain)
	if r.uncertain = err != nil; err != nil {
		s.inFlight.PutBack(taken)
	}
	if s.transaction != nil && !r.zombie {
		s.transaction.savePosition(context.Background())
	}
}

// resolve makes the broker answer.
func (r *modelRelay) resolve() {
	if r.sink != nil {
		r.sink.resolve()
	}
}

func (r *modelRelay) crash() {
	if r.term == nil && !r.knows() || r.m.seldom("crash") {
		return
	}
	r.m.repeats = true
	if r.sink != nil {
		r.sink.crash()
	}
	if r.term != nil {
		r.term.cancel(nil)
	}
	if r.term != nil && !r.zombie || r.m.db.lease.owner == r.unsureOwner {
		r.m.db.lease.owner = uuid.Nil // in time
	}
	r.term, r.session, r.zombie, r.sink = nil, nil, false, nil
	r.leftover, r.unsureOwner = leftover{}, uuid.Nil // a new process
	r.overtaken = map[uuid.UUID]string{}
}
