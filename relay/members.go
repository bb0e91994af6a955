package relay

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/postroom/postroom/internal/dialect"
)

// members is what the relay needs of a database for an even spread of the sources.
type members interface {
	// Peek looks at the lease without a lock.
	Peek(ctx context.Context, ttl time.Duration) (dialect.LeaseState, error)
	// Members lists the processes that serve the source, with how long ago they were seen.
	Members(ctx context.Context) ([]dialect.Member, error)
	// Beat tells that this process lives, and returns the others that do.
	Beat(ctx context.Context, m dialect.Member, window time.Duration) ([]dialect.Member, error)
	// Leave takes this process's heartbeat back.
	Leave(ctx context.Context, id uuid.UUID) error
}

// errHandedOver ends a turn in favour of another process.
var errHandedOver = errors.New("handed over to another relay process")

// beat tells the other processes of this one, and hears of them. If it fails, delivery
// goes on and only the spread is uneven: a process that hears of nobody claims what is
// free and hands nothing over.
func (r *Relay) beat(ctx context.Context) {
	if time.Now().Before(r.beatOff) {
		return
	}
	limited, cancel := context.WithTimeout(ctx, r.spread.beatEvery()/2)
	defer cancel()
	me := dialect.Member{ID: r.cfg.Process.id, Host: r.cfg.Process.host, Owned: r.cfg.Process.Owned()}
	others, err := r.hear(limited, me)
	if ctx.Err() != nil {
		return
	}
	r.spread.saw(others, me.Owned, time.Now())
	switch {
	case err == nil && r.beatFails:
		r.log.Info("sources are spread over the relay processes again")
	case err != nil && !r.beatFails:
		hint := "this mends itself when the database answers"
		switch {
		case dialect.IsMissingTable(err):
			hint = "run `relay migrate up`"
		case dialect.IsDenied(err):
			hint = "grant the relay's user what docs/tables.md lists"
		}
		r.log.Warn("sources are not spread evenly over the relay processes: delivery is not affected", "error", err, "hint", hint)
	}
	r.beatFails = err != nil
	if dialect.IsMissingTable(err) || dialect.IsDenied(err) {
		r.beatOff = time.Now().Add(time.Minute) // only people change that
	}
}

// approach looks whether the lease is free and this process's turn to claim it. It
// returns how long to wait for the next look; 0: claim.
func (r *Relay) approach(ctx context.Context) (time.Duration, error) {
	if r.unsure != uuid.Nil {
		return 0, nil // the lease may be ours already, and look held
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.LeaseTTL)
	defer cancel()
	if r.spread.beatDue(time.Now(), false) {
		r.beat(ctx)
	}
	state, err := r.store.Peek(ctx, r.cfg.LeaseTTL)
	if err != nil {
		return 0, err
	}
	if !state.Free {
		r.tellMode(Mode(state.Mode))
	}
	if state.OwnerBlind || r.sight.isBlind() || r.cfg.Process.anyBlind() {
		r.look(ctx)
	}
	if r.sight.isBlind() && r.spread.othersHeard(time.Now()) {
		return r.spread.lookEvery(), nil // they can deliver, and this process cannot
	}
	wait := r.spread.wait(state, time.Now())
	if wait > 0 || !r.spread.beatDue(time.Now(), true) {
		return wait, nil
	}
	r.beat(ctx) // it is about to matter who owns how many
	return r.spread.wait(state, time.Now()), nil
}

// turnOrHandOver works through one turn, which another process may be given.
func (r *Relay) turnOrHandOver(ctx context.Context, k *keeper) (done bool, err error) {
	turn, handOver := context.WithCancelCause(ctx)
	balancing := make(chan struct{})
	r.spread.began(time.Now())
	r.sight.untold()
	go func() {
		defer close(balancing)
		r.balance(turn, k, handOver)
	}()
	done, err = r.turn(turn, k)
	handOver(nil) // ends balance too
	<-balancing
	r.spread.ended(time.Now())
	if !errors.Is(context.Cause(turn), errHandedOver) || ctx.Err() != nil {
		return done, err
	}
	if errors.Is(err, ErrNotDrained) {
		r.log.Warn("not handed over: the next owner waits until the lease has run out", "error", err)
		err = nil
	}
	return err != nil, err
}

// balance tells of this process while a turn lasts, and ends the turn when another
// process should have the source.
func (r *Relay) balance(ctx context.Context, k *keeper, handOver context.CancelCauseFunc) {
	every := r.spread.beatEvery()
	for sleep(ctx, every*3/4+r.spread.random(every/4), nil) {
		r.beat(ctx)
		r.tellOutage(ctx, k)
		if heir, ok := r.evacuate(ctx, k); ok {
			r.log.Warn("handing this source over: the sink cannot be reached from here", "relay", heir)
			handOver(errHandedOver)
			return
		}
		if r.health.failing() {
			continue // what is on its way would not be drained
		}
		if heir, ok := r.spread.handOver(time.Now()); ok {
			r.log.Info("handing this source over: another relay process owns fewer", "relay", heir, "owned", r.cfg.Process.Owned())
			handOver(errHandedOver)
			return
		}
	}
}

// leave takes back the heartbeat, so that nobody reckons with this process.
func (r *Relay) leave() {
	r.spread.left()
	if r.sight.isBlind() {
		r.cfg.Process.wentBlind(false)
		r.sight.reset()
	}
	if r.beatFails {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(r.cfg.LeaseTTL/4, 2*time.Second))
	defer cancel()
	if err := r.store.Leave(ctx, r.cfg.Process.id); err != nil {
		r.log.Debug("could not take the heartbeat back: it is ignored after a while", "error", err)
	}
}
