package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/health"
	"github.com/postroom/postroom/relay/internal/pacing"
)

// Exactly-once mode works in these steps. The relay claims the lease. The sink fences the predecessor. The
// relay deletes the rows that committed transactions have named. Only then does it read the table, and it
// publishes each batch together with the manifest of the batch. On any error it drops the session with
// everything that the session has read (hazard read-before-fencing), and the next session starts with the
// fencing again.
//
// The lease row keeps the mode. A relay that claims the lease in another mode than the last owner's also
// fences first, because a paused owner in exactly-once mode may have a transaction that it can still commit
// (hazard mode-switch).

// confirmEvery is how often the position in the manifests is saved. After a crash the next owner reads the
// manifests from that position on.
const confirmEvery = 2 * time.Second

// namedAtOnce is how many rows that transactions have named are looked up at a time.
const namedAtOnce = 5000

// sentAtOnce bounds the events that are kept for one walk over the parked rows. They need 20 MB.
const sentAtOnce = 200_000

// forgetEvery is how often the sink may drop manifests that nobody needs.
const forgetEvery = time.Minute

// keepExactlyOnce is the advice for a relay that would switch exactly-once mode off by mistake.
const keepExactlyOnce = "if this is not wanted, start every relay of the source with --mode exactly-once " +
	"(Config.Mode)"

// logModeChange logs from when on the other mode applies.
func (r *Relay) logModeChange(from Mode) {
	if from != ExactlyOnce {
		r.log.Info("mode changed", "from", from, "to", r.cfg.Mode)
		return
	}
	r.log.Warn("mode changed: exactly-once is switched off, and from now on a crash or a take-over may send events "+
		"twice",
		"from", from, "to", r.cfg.Mode, "hint", keepExactlyOnce)
}

// warnOtherMode logs once, while another relay owns the source, that this relay would switch exactly-once
// mode off. Usually somebody forgot the flag when starting this relay.
func (r *Relay) warnOtherMode(owners Mode) {
	if owners != ExactlyOnce || r.cfg.Mode == ExactlyOnce {
		return
	}
	r.otherModeLogged.Do(func() {
		r.log.Warn("the source is relayed exactly once, and this relay would switch that off when it takes over",
			"from", owners, "to", r.cfg.Mode, "hint", keepExactlyOnce)
	})
}

// transaction is what exactly-once mode adds to a session: the sink's transactions, the rows that they name,
// and the position in the manifests.
type transaction struct {
	part
	store interface {
		leases
		deletes
		operatorRequests
	}
	leftover *leftover
	deleter  *deleter

	tx              TransactionalSession
	unsavedPosition []byte // it is not in the lease row yet
}

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

// openTransaction opens the sink. This fences the predecessor, and deletes the rows that the predecessor has
// sent.
func (s *session) openTransaction(ctx context.Context, sink Transactional) (*transaction, error) {
	if !s.term.valid() { // otherwise this relay would fence its successor
		return nil, store.ErrLeaseLost
	}
	t := &transaction{part: s.part, store: s.relay.store, leftover: &s.relay.leftover, deleter: s.deleter}
	l := t.term.lease
	tx, err := sink.OpenTransactional(ctx, Identity{Source: t.cfg.Source, ID: l.SourceID, Owner: l.Owner,
		Epoch: l.Epoch}, t.term.position, s.ack)
	if err != nil {
		return nil, err
	}
	t.tx = tx
	if err := t.deleteSent(ctx); err != nil {
		tx.Close()
		t.term.endIfLost(err)
		return nil, err
	}
	t.savePosition(ctx)
	return t, nil
}

// deleteSent deletes the rows that committed transactions have named. Usually none of them is still in the
// table.
func (t *transaction) deleteSent(ctx context.Context) error {
	named, deleted := 0, int64(0)
	var sentAll store.SentEvents
	err := t.tx.Sent(ctx, func(sent []Sent) error {
		named += len(sent)
		for len(sent) > 0 {
			n := min(len(sent), namedAtOnce)
			events := make([]store.Event, n)
			for i, e := range sent[:n] {
				events[i] = store.Event(e)
				sentAll.Add(events[i])
			}
			gone, err := t.deleteNamed(ctx, events)
			if err != nil {
				return err
			}
			deleted += gone
			sent = sent[n:]
		}
		if sentAll.Len() < sentAtOnce {
			return nil
		}
		gone, err := t.deleteSentParked(ctx, &sentAll)
		sentAll, deleted = store.SentEvents{}, deleted+gone
		return err
	})
	if err == nil {
		gone, errParked := t.deleteSentParked(ctx, &sentAll)
		deleted, err = deleted+gone, errParked
	}
	if err != nil {
		return fmt.Errorf("delete what was sent by earlier transactions: %w", err)
	}
	// If another owner has the lease, the deletes do nothing, and report no error.
	held, err := t.store.Held(ctx, t.term.lease)
	if err == nil && !held {
		err = store.ErrLeaseLost
	}
	if err == nil && deleted > 0 {
		t.log.Info("deleted events that an earlier transaction had sent", "named", named, "deleted", deleted)
	}
	return err
}

// deleteNamed deletes rows that transactions have named. It sets aside rows that somebody has locked: they
// were sent, and are not sent again.
func (t *transaction) deleteNamed(ctx context.Context, events []store.Event) (deleted int64, err error) {
	left, err := avoidingLocks(events, lockWaits, func(part []store.Event) error {
		n, err := t.deleteNamedOnce(ctx, part)
		deleted += n
		return err
	})
	if err == nil && len(left) > 0 {
		err = t.deleter.adoptLocked(ctx, left)
	}
	return deleted, err
}

func (t *transaction) deleteNamedOnce(ctx context.Context, events []store.Event) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.answerTimeout)
	defer cancel()
	rows := make([]store.Delivered, len(events)) // a manifest does not have the positions of the records
	for i, e := range events {
		rows[i].Event = e
	}
	if t.cfg.Archive { // a move needs the rows' sizes, and usually most rows are gone
		var err error
		if rows, err = t.store.FindEvents(ctx, events); err != nil {
			return 0, err
		}
	}
	return t.store.DeleteDelivered(ctx, t.term.lease, rows)
}

// deleteSentParked deletes events from outbox_parked that were sent again. It finds all of them in one walk
// over the parked rows.
func (t *transaction) deleteSentParked(ctx context.Context, sent *store.SentEvents) (deleted int64, err error) {
	for after, more := int64(0), sent.Len() > 0; more; {
		err := t.cfg.bounded(ctx, func(ctx context.Context) error {
			found, next, some, err := t.store.FindSentParked(ctx, sent, after)
			after, more, deleted = next, some, deleted+int64(len(found))
			t.leftover.parked = append(t.leftover.parked, found...)
			return err
		})
		if err == nil {
			err = t.leftover.deleteParked(ctx, t.part, t.store, func([]db.EventKey) {})
		}
		if err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

// confirmLoop saves the position while the session lives.
func (t *transaction) confirmLoop(ctx context.Context) {
	forgot := time.Now()
	for pacing.Sleep(ctx, t.cfg.confirmEvery, nil) {
		t.savePosition(ctx)
		if time.Since(forgot) < forgetEvery || t.term.position == nil {
			continue
		}
		forgot = time.Now()
		if err := t.tx.Forget(ctx, t.term.position); err != nil && ctx.Err() == nil {
			t.health.Paused(health.Manifests, err)
		} else if err == nil {
			t.health.Resumed(health.Manifests)
		}
	}
}

// savePosition saves the position below which all rows that transactions have named are deleted. The position
// is a hint: without it the next owner reads more manifests. In a term that is about to end it saves nothing,
// because after a failover the position may be ahead of the database's state. The database also rejects a
// position if it is another server than the one on which the deletes were committed.
func (t *transaction) savePosition(ctx context.Context) {
	if t.term.active.Err() != nil {
		return
	}
	confirmed := t.inFlight.Confirmed()
	if confirmed < 0 {
		return // rows of earlier transactions are still in the table
	}
	if position := t.tx.Confirm(confirmed); position != nil {
		t.unsavedPosition = position
	}
	if t.unsavedPosition == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, t.cfg.answerTimeout)
	defer cancel()
	err := t.store.Note(ctx, t.term.lease, store.Position(t.unsavedPosition))
	if err != nil {
		t.term.endIfLost(err)
		return // tried again next time
	}
	t.term.position, t.unsavedPosition = t.unsavedPosition, nil
}

// If a producer is fenced while its lease is held, the other producer has no lease. If that happens once, the
// other one is a predecessor. It was paused just before it fenced this relay, and has noticed since that its
// lease is lost. If it happens again and again, the other one is a relay of another database with the same
// identity, and both would fence each other without end (hazard cloned-database).
const (
	fencedTooOften = 5
	fencedWithin   = time.Minute
)

// fencings counts how often a term was fenced.
type fencings struct {
	count int
	last  time.Time
}

// tooOften counts one fencing, and reports whether there were too many within a short time.
func (f *fencings) tooOften(now time.Time) bool {
	if now.Sub(f.last) > fencedWithin {
		f.count = 0
	}
	f.count, f.last = f.count+1, now
	return f.count >= fencedTooOften
}

// fatal returns the error with which a session's failure stops the source, or nil if the failure is an
// outage.
func (r *Relay) fatal(k *keeper, f *fencings, err error) error {
	switch {
	case errors.Is(err, ErrUnusable):
		return err
	case !errors.Is(err, ErrFenced):
		return nil
	}
	ctx, cancel := context.WithTimeout(k.ctx, r.cfg.answerTimeout)
	defer cancel()
	if held, errHeld := r.store.Held(ctx, k.lease); errHeld != nil || !held {
		return nil // a successor did it, or the cause is not known
	}
	if !f.tooOften(time.Now()) {
		return nil
	}
	return fmt.Errorf("%w, %d times, while this relay holds the lease of %s: another database has the same "+
		"identity %s, as a copy of this one does (run `relay source new-identity` on the copy), or another program "+
		"uses this source's transactions (give that program a transactional id of its own): %w",
		ErrUnusable, f.count, r.cfg.table(), k.lease.SourceID, err)
}
