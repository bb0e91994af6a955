package relay

import (
	"context"
	"errors"
	"time"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/pacing"
)

// partScheduled is the part of health that events wait in until they are due.
const partScheduled = "database, scheduled events"

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
			m.relay.health.resumed(partScheduled)
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

// failing tells of an error, unless it is one that a database has now and then when
// transactions meet, and that is gone at the next try.
func (m *mover) failing(err error) {
	const usual = 3
	if m.failed++; m.failed > usual || !db.IsSerialization(err) {
		m.relay.health.paused(partScheduled, err)
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
