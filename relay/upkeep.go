package relay

import (
	"context"
	"errors"
	"time"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/health"
	"github.com/postroom/postroom/relay/internal/pacing"
)

// A transaction that moves events holds their keys, for which writers with StrictKeyOrder
// wait. So its size follows the time that it takes: what a thousand rows without much
// payload take, ten large ones may take too.
const (
	moveFirst = 100
	moveMost  = 1000
	moveQuick = 50 * time.Millisecond
	moveSlow  = 250 * time.Millisecond
)

// moveOffFor is how long a relay leaves scheduled events alone that it cannot move
// before somebody has made a table or granted a right.
const moveOffFor = time.Minute

// mover moves scheduled events that are due to the others, for as long as a lease is
// held. It runs beside the sessions, and through the outages of the sink: an event's
// place among others of its key is where it is when its time has come.
//
// It delivers nothing, so a crash at any point loses nothing: an event is in one of the
// two tables.
type mover struct {
	relay  *Relay
	keeper *keeper
	limit  int
	failed int // times in a row
	retry  *pacing.Backoff
	offFor time.Duration
}

func newMover(r *Relay, k *keeper) *mover {
	return &mover{relay: r, keeper: k, limit: moveFirst, retry: pacing.NewBackoff(r.cfg.RetryMin, r.cfg.RetryMax),
		offFor: moveOffFor}
}

// run ends with the term, and when Run is asked to stop: what is due then is the next
// owner's.
func (m *mover) run(stop context.Context) {
	ctx, cancel := context.WithCancel(m.keeper.ctx)
	defer cancel()
	defer context.AfterFunc(stop, cancel)()
	for ctx.Err() == nil && m.keeper.valid() {
		next, err := m.move(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			m.failed = 0
			m.retry.Reset()
			m.relay.health.Resumed(health.Scheduled)
		case errors.Is(err, store.ErrLeaseLost), errors.Is(err, store.ErrServerChanged):
			m.keeper.endIfLost(err)
			return
		case m.off(err):
			next = m.offFor
		default:
			m.failing(err)
			m.retry.Wait(ctx)
			continue
		}
		pacing.Sleep(ctx, next, nil)
	}
}

// move moves one batch and returns when to move the next one.
func (m *mover) move(ctx context.Context) (next time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, m.relay.cfg.answerTimeout)
	defer cancel()
	began := time.Now()
	moved, next, err := m.relay.store.MoveDue(ctx, m.keeper.lease, m.limit)
	if err != nil {
		m.limit = max(1, m.limit/2)
		return 0, err
	}
	if moved > 0 {
		m.relay.Wake()
	}
	switch took := time.Since(began); {
	case took > moveSlow:
		m.limit = max(1, m.limit/2)
	case took < moveQuick && moved == m.limit:
		m.limit = min(moveMost, 2*m.limit)
	}
	return next, nil
}

// failing reports an error, unless it is one that a database has now and then when transactions
// conflict, and that is gone at the next try.
func (m *mover) failing(err error) {
	const usual = 3
	if m.failed++; m.failed > usual || !db.IsSerialization(err) {
		m.relay.health.Paused(health.Scheduled, err)
	}
}

// off reports whether err means that somebody has to do something, and says it once: the
// tables may be of the version before, or the rights.
func (m *mover) off(err error) bool {
	r := m.relay
	table := r.cfg.names().Plain(db.Scheduled)
	switch {
	case db.IsMissingTable(err):
		r.scheduleOffLogged.Do(func() {
			r.log.Warn("scheduled events are off: their table is not there: run `relay migrate up`", "table", table)
		})
	case db.IsDenied(err):
		r.scheduleOffLogged.Do(func() {
			r.log.Warn("scheduled events are off: the relay's user lacks a right: grant what docs/tables.md lists",
				"table", table, "error", err)
		})
	default:
		return false
	}
	return true
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
				"error", explainArchive(&r.cfg, err))
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
