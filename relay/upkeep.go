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

// A transaction that moves events locks their keys, and writers with StrictKeyOrder wait for these locks. So
// the number of events in a transaction follows from the time that it takes: ten large rows may take as long
// as a thousand rows with little payload.
const (
	moveFirst = 100
	moveMost  = 1000
	moveQuick = 50 * time.Millisecond
	moveSlow  = 250 * time.Millisecond
)

// moveOffFor is how long the relay moves no scheduled events after a move that cannot succeed before somebody
// has created a table or granted a right.
const moveOffFor = time.Minute

// mover moves scheduled events that are due to outbox_events, for as long as a lease is held. It runs beside
// the sessions, and also during outages of the sink. This is needed because an event's place in the order of
// its key is decided when it is due.
//
// It delivers nothing, so a crash at any point loses nothing: an event is always in one of the two tables.
type mover struct {
	relay  *Relay
	keeper *keeper
	limit  int
	failed int // consecutive failures
	retry  *pacing.Backoff
	offFor time.Duration
}

func newMover(r *Relay, k *keeper) *mover {
	return &mover{relay: r, keeper: k, limit: moveFirst, retry: pacing.NewBackoff(r.cfg.RetryMin, r.cfg.RetryMax),
		offFor: moveOffFor}
}

// run ends with the term, and when Run has to stop. Events that are due after that are moved by the next
// owner.
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

// failing logs an error. It logs a serialization error only after several failures in a row, because databases
// return one now and then when transactions conflict, and the next attempt succeeds.
func (m *mover) failing(err error) {
	const usual = 3
	if m.failed++; m.failed > usual || !db.IsSerialization(err) {
		m.relay.health.Paused(health.Scheduled, err)
	}
}

// off reports whether somebody has to repair the cause of err, and logs that once. The tables may have an
// older version, or a right may be missing.
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

// purgeBatch is how many rows one statement purges. It is small, so that a statement locks few rows and a
// replica does not fall behind.
const purgeBatch = 1000

// purgeLoop deletes rows from the archive that were kept long enough, for as long as the lease is held. It
// needs no other fencing, because two relays may purge at the same time without harm. After a full batch it
// pauses for as long as the batch took. No pause is longer than purgeEvery.
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
