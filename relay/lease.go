package relay

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/pacing"
)

// keeper renews a lease and ends the term when the lease can no longer be trusted.
//
// The database's clock decides whether others may claim. The holder cannot see that clock, so it measures its
// lease with its own monotonic clock. It counts from the time before it sent the last successful renewal, and
// subtracts a margin. The database's answer may have taken long, but the database did not read its clock
// before the request was sent.
type keeper struct {
	store leases
	lease store.Lease
	ttl   time.Duration

	ctx    context.Context // ends when the lease cannot be trusted any more
	cancel context.CancelCauseFunc
	active context.Context // ends with ctx, and when the lease must be claimed again
	end    context.CancelCauseFunc

	mu    sync.Mutex
	until time.Time // monotonic
}

// errLeaseExpired ends a term whose lease could not be renewed in time.
var errLeaseExpired = errors.New("the lease could not be renewed in time")

// newKeeper returns the keeper of a lease that was just claimed. began is from before the claim was sent.
func newKeeper(ctx context.Context, st leases, l store.Lease, ttl time.Duration, began time.Time) *keeper {
	k := &keeper{store: st, lease: l, ttl: ttl}
	k.ctx, k.cancel = context.WithCancelCause(ctx)
	k.active, k.end = context.WithCancelCause(k.ctx)
	k.trust(began)
	return k
}

// endIfLost ends the term if err says that the lease cannot be used any more.
//
// The term ends at once when another owner has the lease. When another server answers, or ids went back, the
// term may know more than the tables say: which rows are deleted, and the position in the manifests. None of
// that may be written to the tables. So the term ends in order, within the time that the lease leaves: the
// relay waits for the records that the sink has, and then claims the lease again, with what its row says.
func (k *keeper) endIfLost(err error) {
	switch {
	case errors.Is(err, store.ErrLeaseLost):
		k.endAtOnce(err)
	case errors.Is(err, store.ErrServerChanged), errors.Is(err, errIDsWentBack):
		k.end(err)
	}
}

func (k *keeper) trust(began time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	// The margin is for records that are being sent when the time is over (hazard paused-owner).
	k.until = began.Add(k.ttl - k.ttl/5)
}

func (k *keeper) deadline() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.until
}

// valid reports whether the lease may be trusted now. A process that was paused for longer than its lease
// notices it here, before its timers fire.
func (k *keeper) valid() bool {
	if !time.Now().Before(k.deadline()) {
		k.endAtOnce(errLeaseExpired)
		return false
	}
	return k.ctx.Err() == nil
}

// endAtOnce ends the term when another owner may have the lease. Nothing is done in order any more.
func (k *keeper) endAtOnce(cause error) { k.cancel(cause) }

// renewLoop renews the lease until it is lost or the term ends. It calls renewed after each renewal.
func (k *keeper) renewLoop(renewed func()) {
	var watching sync.WaitGroup
	watching.Go(k.watch)
	defer watching.Wait()
	every := k.ttl / 3
	// Each wait is shorter by up to a fifth, so that leases which were claimed together are not renewed
	// together.
	for pacing.Sleep(k.ctx, every-rand.N(every/5), nil) {
		began := time.Now()
		err := k.renew(began)
		switch {
		case err == nil:
			k.trust(began)
			renewed()
			every = k.ttl / 3
		default:
			k.endIfLost(err)
			every = k.ttl / 10
		}
	}
}

// renew makes one attempt with a part of the remaining time. A pool may hand out a connection that is dead
// without any sign, and the next attempt gets another connection.
func (k *keeper) renew(began time.Time) error {
	limit := began.Add(k.ttl / 4)
	if end := k.deadline(); end.Before(limit) {
		limit = end
	}
	ctx, cancel := context.WithDeadline(k.ctx, limit)
	defer cancel()
	return k.store.Renew(ctx, k.lease, k.ttl)
}

// watch ends the term at the deadline, even while a renewal hangs.
func (k *keeper) watch() {
	for k.valid() {
		pacing.Sleep(k.ctx, time.Until(k.deadline()), nil)
	}
}

func newOwner() uuid.UUID { return uuid.New() }

// claim tries once to take the lease, and begins a term. It returns nil if another relay has the lease.
func (r *Relay) claim(ctx context.Context) (*term, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.LeaseTTL)
	defer cancel()
	began, owner := time.Now(), newOwner()
	l, claimed, err := r.store.Claim(ctx, store.Claim{Owner: owner, Mode: string(r.cfg.Mode),
		TTL: r.cfg.LeaseTTL, Unsure: r.unsureOwner})
	r.unsureOwner = uuid.Nil
	if err != nil {
		r.unsureOwner = owner // the claim may have succeeded
		return nil, fmt.Errorf("claim the lease of %s: %w", r.cfg.table(), err)
	}
	if !claimed {
		return nil, nil
	}
	if r.idsWentBack {
		l.Checkpoint = []byte("{}") // it describes other rows
	}
	r.idsWentBack = false
	return newTerm(newKeeper(context.WithoutCancel(ctx), r.store, l, r.cfg.LeaseTTL, began)), nil
}
