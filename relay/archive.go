package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/pacing"
)

// removeLeftoverParked deletes what was delivered out of outbox_parked.
func (r *Relay) removeLeftoverParked(ctx context.Context, l store.Lease) ([]db.EventKey, error) {
	return r.store.Unpark(ctx, l, r.leftoverParked)
}

func (r *Relay) checkArchive(ctx context.Context) error {
	return r.explainArchive(r.store.CheckArchive(ctx))
}

func (r *Relay) explainArchive(err error) error {
	switch {
	case !r.cfg.Archive:
	case db.IsMissingTable(err):
		return fmt.Errorf("the archive of %s is on and its table is not there: run `relay migrate up`, or turn the "+
			"archive off: %w", r.store.Table(), err)
	case db.IsDenied(err):
		return fmt.Errorf("the archive of %s is on and the relay's user lacks a right on it: grant SELECT, INSERT and "+
			"DELETE on outbox_archive, or turn the archive off: %w",
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
	for pause := time.Duration(0); pacing.Sleep(k.ctx, pause, nil); {
		began := time.Now()
		n, err := r.purge(k.ctx)
		pause = r.cfg.purgeEvery
		switch {
		case k.ctx.Err() != nil:
			return
		case err != nil && !failing:
			failing = true
			r.log.Warn("the archive is not purged: will be tried again", "every", r.cfg.purgeEvery,
				"error", r.explainArchive(err))
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
	return r.store.Purge(ctx, store.OldArchived(r.cfg.ArchiveFor), purgeBatch)
}
