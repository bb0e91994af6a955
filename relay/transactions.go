package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/dialect"
)

// Exactly-once mode, step by step: the lease is claimed; the sink shuts out
// the predecessor; the rows that committed transactions have named are deleted; only
// then the table is read, and each batch is published together with its manifest. On any
// error the session is thrown away, with all that it has read (hazard read-before-fencing), and
// the next one begins with the shutting out again.
//
// The lease row keeps the mode. Whoever claims in another mode than the last owner
// runs that start as well: an owner of exactly-once mode may be paused with a
// transaction that it can still commit (hazard mode-switch).

// confirmEvery is how often the position in the manifests is kept. After a crash the
// next owner reads the manifests since.
const confirmEvery = 2 * time.Second

// namedAtOnce is how many rows that transactions have named are looked for at a time.
const namedAtOnce = 5000

// sentAtOnce bounds those that are kept for a walk over the parked rows: 20 MB of them.
const sentAtOnce = 200_000

// forgetEvery is how often the sink may drop manifests that nobody will read.
const forgetEvery = time.Minute

// keepExactlyOnce is what to type where a relay switches exactly-once mode off by mistake.
const keepExactlyOnce = "if this is not wanted, start every relay of the source with --mode exactly-once (Config.Mode)"

// logModeChange says from when on the other mode holds.
func (r *Relay) logModeChange(from Mode) {
	if from != ExactlyOnce {
		r.log.Info("mode changed", "from", from, "to", r.cfg.Mode)
		return
	}
	r.log.Warn("mode changed: exactly-once is switched off, and from now on a crash or a take-over may send events twice",
		"from", from, "to", r.cfg.Mode, "hint", keepExactlyOnce)
}

// warnOtherMode says once, while another relay owns the source, that this one would switch
// exactly-once off: it was started without the flag, as a rule by mistake.
func (r *Relay) warnOtherMode(owners Mode) {
	if owners != ExactlyOnce || r.cfg.Mode == ExactlyOnce {
		return
	}
	r.otherModeLogged.Do(func() {
		r.log.Warn("the source is relayed exactly once, and this relay would switch that off when it takes over",
			"from", owners, "to", r.cfg.Mode, "hint", keepExactlyOnce)
	})
}

func (s *session) openTransactional(ctx context.Context, sink Transactional) (TransactionalSession, error) {
	if !s.keeper.valid() { // or we would shut out our successor
		return nil, dialect.ErrLeaseLost
	}
	l := s.lease
	tx, err := sink.OpenTransactional(ctx, Identity{Source: s.relay.cfg.Source, ID: l.SourceID, Owner: l.Owner, Epoch: l.Epoch},
		s.keeper.position, s.flights.ack)
	if err != nil {
		return nil, err
	}
	if err := s.deleteSent(ctx, tx); err != nil {
		tx.Close()
		return nil, s.keeper.endIfLost(err)
	}
	s.savePosition(ctx, tx, s.flights.confirmed())
	return tx, nil
}

// deleteSent deletes the rows that committed transactions have named. Few of them are
// still there, as a rule none.
func (s *session) deleteSent(ctx context.Context, tx TransactionalSession) error {
	named, deleted := 0, int64(0)
	var sentAll dialect.SentEvents
	err := tx.Sent(ctx, func(sent []Sent) error {
		named += len(sent)
		for len(sent) > 0 {
			n := min(len(sent), namedAtOnce)
			events := make([]dialect.Event, n)
			for i, e := range sent[:n] {
				events[i] = dialect.Event(e)
				sentAll.Add(events[i])
			}
			gone, err := s.deleteNamed(ctx, events)
			if err != nil {
				return err
			}
			deleted += gone
			sent = sent[n:]
		}
		if sentAll.Len() < sentAtOnce {
			return nil
		}
		gone, err := s.deleteSentParked(ctx, &sentAll)
		sentAll, deleted = dialect.SentEvents{}, deleted+gone
		return err
	})
	if err == nil {
		gone, errParked := s.deleteSentParked(ctx, &sentAll)
		deleted, err = deleted+gone, errParked
	}
	if err != nil {
		return fmt.Errorf("delete what was sent by earlier transactions: %w", err)
	}
	// The deletes do nothing once the lease is another's, and say nothing either.
	held, err := s.relay.store.Held(ctx, s.lease)
	if err == nil && !held {
		err = dialect.ErrLeaseLost
	}
	if err == nil && deleted > 0 {
		s.relay.log.Info("deleted events that an earlier transaction had sent", "named", named, "deleted", deleted)
	}
	return err
}

// deleteNamed deletes what transactions have named. Rows that somebody has locked are set
// aside: they were sent, and are not sent again.
func (s *session) deleteNamed(ctx context.Context, events []dialect.Event) (deleted int64, err error) {
	left, err := avoidingLocks(events, lockWaits, func(part []dialect.Event) error {
		n, err := s.deleteNamedOnce(ctx, part)
		deleted += n
		return err
	})
	if err == nil && len(left) > 0 {
		err = s.adoptLocked(ctx, left)
	}
	return deleted, err
}

func (s *session) deleteNamedOnce(ctx context.Context, events []dialect.Event) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.relay.cfg.answerTimeout)
	defer cancel()
	if s.relay.cfg.Archive {
		return s.relay.store.ArchiveSent(ctx, s.lease, events) // a manifest does not tell where the records are
	}
	return s.relay.store.DeleteNamed(ctx, s.lease, events)
}

// deleteSentParked deletes the events out of outbox_parked too, where one stands that was sent
// again: in one walk over the parked rows for all of them.
func (s *session) deleteSentParked(ctx context.Context, sent *dialect.SentEvents) (deleted int64, err error) {
	for after, more := int64(0), sent.Len() > 0; more; {
		err := s.bounded(ctx, func(ctx context.Context) error {
			found, next, some, err := s.relay.store.SentParked(ctx, sent, after)
			after, more, deleted = next, some, deleted+int64(len(found))
			s.relay.leftoverParked = append(s.relay.leftoverParked, found...)
			return err
		})
		if err == nil {
			err = s.relay.deleteLeftoverParked(ctx, s.keeper, func([]dialect.EventKey) {})
		}
		if err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

// confirmLoop keeps the position while the session lives.
func (s *session) confirmLoop(ctx context.Context) {
	forgot := time.Now()
	for sleep(ctx, s.relay.cfg.confirmEvery, nil) {
		s.savePosition(ctx, s.tx, s.flights.confirmed())
		if time.Since(forgot) < forgetEvery || s.keeper.position == nil {
			continue
		}
		forgot = time.Now()
		if err := s.tx.Forget(ctx, s.keeper.position); err != nil && ctx.Err() == nil {
			s.relay.health.paused(partManifests, err)
		} else if err == nil {
			s.relay.health.resumed(partManifests)
		}
	}
}

// savePosition writes how far all that transactions have named is deleted. It is a
// hint: without it the next owner reads more manifests. In a term that is to end it may be
// ahead of what the database knows by now; the database itself refuses it when it is
// another server than the one where the deletes were committed.
func (s *session) savePosition(ctx context.Context, tx TransactionalSession, confirmed int64) {
	if s.keeper.term.Err() != nil {
		return
	}
	if confirmed < 0 {
		return // rows of earlier transactions are still there
	}
	if position := tx.Confirm(confirmed); position != nil {
		s.unsavedPosition = position
	}
	if s.unsavedPosition == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.relay.cfg.answerTimeout)
	defer cancel()
	err := s.relay.store.SetPosition(ctx, s.lease, s.unsavedPosition)
	if err != nil {
		s.keeper.endIfLost(err)
		return // the next time
	}
	s.keeper.position, s.unsavedPosition = s.unsavedPosition, nil
}

// A producer that was shut out while its lease holds was shut out by one that has no
// lease. Once, that is a predecessor that was paused just before it wanted to shut out
// ours, and has noticed since. Again and again, it is a relay of another database with
// the same identity: both would go on for ever (hazard cloned-database).
const (
	fencedTooOften = 5
	fencedWithin   = time.Minute
)

// fencings counts how often a term was shut out.
type fencings struct {
	count int
	last  time.Time
}

// tooOften notes one, and reports whether they have come thick and fast.
func (f *fencings) tooOften(now time.Time) bool {
	if now.Sub(f.last) > fencedWithin {
		f.count = 0
	}
	f.count, f.last = f.count+1, now
	return f.count >= fencedTooOften
}

// fatal returns the error by which a session's failure stops the source, nil if it is an outage.
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
		return nil // a successor did it, or nobody can tell
	}
	if !f.tooOften(time.Now()) {
		return nil
	}
	return fmt.Errorf("%w, %d times, while this relay holds the lease of %s: another database has the same identity %s, as a copy of this one does (run `relay source new-identity` on the copy), or another program uses this source's transactions (give that program a transactional id of its own): %w",
		ErrUnusable, f.count, r.store.Table(), k.lease.SourceID, err)
}
