package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/dialect"
)

// archives is what the relay needs of a database that keeps delivered events.
type archives interface {
	// CheckArchive fails if the archive is not there or may not be written.
	CheckArchive(ctx context.Context) error
	// DeleteArchiving moves delivered rows into the archive, if the lease is held.
	DeleteArchiving(ctx context.Context, l dialect.Lease, rows []dialect.Delivered) (int64, error)
	// ArchiveSent does so with what committed transactions have named.
	ArchiveSent(ctx context.Context, l dialect.Lease, events []dialect.Event) (int64, error)
	// UnparkArchiving does so out of outbox_parked.
	UnparkArchiving(ctx context.Context, l dialect.Lease, rows []dialect.DeliveredParked) ([]dialect.EventKey, error)
	// Purge deletes at most limit old rows.
	Purge(ctx context.Context, o dialect.Old, limit int) (int64, error)
}

// remove deletes delivered rows as d names them, or moves them into the archive.
func (s *session) remove(ctx context.Context, d dialect.Deletion, taken []*flight) (int64, error) {
	if !s.relay.cfg.Archive {
		return s.relay.store.Delete(ctx, s.lease, d)
	}
	rows := make([]dialect.Delivered, len(taken))
	for i, fl := range taken {
		rows[i] = fl.place()
	}
	n, err := s.relay.store.DeleteArchiving(ctx, s.lease, rows)
	if err != nil {
		s.leaseLost(err)
		err = s.relay.explainArchive(err)
	}
	return n, err
}

func (fl *flight) place() dialect.Delivered {
	return dialect.Delivered{Event: fl.event(), Size: fl.size, Partition: fl.partition, Offset: fl.offset, Placed: fl.placed}
}

// removeCarried is remove for what an earlier session delivered, or remove passed over. When
// it has returned without an error, nothing of it is left on the server that granted l.
func (r *Relay) removeCarried(ctx context.Context, l dialect.Lease, rows []dialect.Delivered) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.answerTimeout)
	defer cancel()
	if r.cfg.Archive {
		_, err := r.store.DeleteArchiving(ctx, l, rows)
		return r.explainArchive(err)
	}
	events := make([]dialect.Event, len(rows))
	for i, row := range rows {
		events[i] = row.Event
	}
	_, err := r.store.DeleteNamed(ctx, l, events)
	return err
}

func (fl *flight) parkedPlace() dialect.DeliveredParked {
	return dialect.DeliveredParked{
		ParkedEvent: dialect.ParkedEvent{Seq: -fl.id, EventID: fl.eventID}, Size: fl.size,
		Partition: fl.partition, Offset: fl.offset, Placed: fl.placed,
	}
}

// removeUnparked deletes what was delivered out of outbox_parked.
func (r *Relay) removeUnparked(ctx context.Context, l dialect.Lease) ([]dialect.EventKey, error) {
	if r.cfg.Archive {
		return r.store.UnparkArchiving(ctx, l, r.unparked)
	}
	return r.store.Unpark(ctx, l, r.unparked)
}

func (r *Relay) checkArchive(ctx context.Context) error {
	if !r.cfg.Archive {
		return nil
	}
	return r.explainArchive(r.store.CheckArchive(ctx))
}

func (r *Relay) explainArchive(err error) error {
	switch {
	case dialect.IsMissingTable(err):
		return fmt.Errorf("the archive of %s is on and its table is not there: run `relay migrate up`, or turn the archive off: %w", r.store.Table(), err)
	case dialect.IsDenied(err):
		return fmt.Errorf("the archive of %s is on and the relay's user lacks a right on it: grant SELECT, INSERT and DELETE on outbox_archive, or turn the archive off: %w",
			r.store.Table(), err)
	}
	return err
}

// purgeBatch is how many rows one statement purges, so that it locks little and a
// replica keeps up.
const purgeBatch = 1000

// purgeLoop deletes what the archive has kept for long enough, for as long as the lease
// is held. Two relays that purge at the same time do no harm, so nothing else fences it.
// After a full batch it rests for as long as that took, and never waits longer than
// purgeEvery.
func (r *Relay) purgeLoop(k *keeper) {
	if !r.cfg.Archive {
		return
	}
	failing := false
	for pause := time.Duration(0); sleep(k.ctx, pause, nil); {
		began := time.Now()
		n, err := r.purge(k.ctx)
		pause = r.cfg.purgeEvery
		switch {
		case k.ctx.Err() != nil:
			return
		case err != nil && !failing:
			failing = true
			r.log.Warn("the archive is not purged: will be tried again", "every", r.cfg.purgeEvery, "error", r.explainArchive(err))
		case err == nil && failing:
			failing = false
			r.log.Info("the archive is purged again")
		}
		if n == purgeBatch {
			pause = min(time.Since(began), r.cfg.purgeEvery)
		}
	}
}

func (r *Relay) purge(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.answerTimeout)
	defer cancel()
	return r.store.Purge(ctx, dialect.OldArchived(r.cfg.ArchiveFor), purgeBatch)
}
