package inbox

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// retries counts why the transactions of a delivery or a batch were repeated, though no handler has failed.
type retries struct {
	outages   int // tries in a row that did not reach the database
	losses    int // connections lost in a row under the handler, to a database that is there
	conflicts int // transactions ended by the database because of others, since the last failure of another kind
	handlers  int // those of them that the handler met
}

// backoff is an exponential pause with jitter.
type backoff struct{ min, max time.Duration }

// conflictBackoff is for transactions that the database ended because of another
// one: that one is about to be over, so the pause is short.
var conflictBackoff = backoff{min: 2 * time.Millisecond, max: 500 * time.Millisecond}

// after returns the pause after the n-th failure, n from 1: between half of
// min × 2^(n−1) and all of it, at most max.
func (b backoff) after(n int) time.Duration {
	d := b.max
	if shift := n - 1; shift < 62 && b.min <= b.max>>shift {
		d = b.min << shift
	}
	return d/2 + rand.N(d/2+1)
}

// sleep waits for d, or returns ctx's error as soon as ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// pauseAfter says how long to wait before the transaction is repeated, after a failure that is nobody's fault.
func (u *unitOfWork) pauseAfter(failed *failure) time.Duration {
	switch failed.kind {
	case outage:
		if u.retries.outages++; u.retries.outages == 1 {
			u.ib.log.Warn("inbox: the database is out of reach or cannot work, trying again until it is back",
				append(slices.Clone(u.about), "error", failed.err)...)
		}
		return u.ib.backoff.after(u.retries.outages)
	case lostInHandler:
		u.recovered()
		u.ib.log.Warn("inbox: the connection was lost while the handler ran, running it again",
			append(slices.Clone(u.about), "error", failed.err)...)
		return u.ib.backoff.after(u.retries.losses)
	default:
		u.recovered()
		return conflictBackoff.after(u.retries.conflicts)
	}
}

// recovered notes that the database answers.
func (u *unitOfWork) recovered() {
	if u.retries.outages > 0 {
		u.ib.log.Info("inbox: the database is back", append(slices.Clone(u.about), "tries", u.retries.outages)...)
	}
	u.retries.outages = 0
}

// maxConflicts is how often in a row the database may end the transaction because of others, in
// the handler, before that counts as its failure.
const maxConflicts = 100

// maxLosses is how often in a row the connection may be lost under the handler, while the database is there, before
// that counts as its failure. The first time may be a failover's doing, or the network's.
const maxLosses = 2

// reachTimeout is how long a database that is there may take to answer.
const reachTimeout = 5 * time.Second

// reachable reports whether the database answers a new connection right away.
func (u *unitOfWork) reachable(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	var one int
	return u.db.QueryRowContext(ctx, "SELECT 1").Scan(&one) == nil
}

// reclassify counts a failure that is nobody's fault once, and makes it the handler's if it does not end: a connection
// that is lost under it, and conflicts of its transaction.
func (u *unitOfWork) reclassify(ctx context.Context, failed *failure) {
	if failed.kind == lostInHandler {
		u.reclassifyLoss(ctx, failed)
	}
	if failed.kind != conflict {
		u.retries.conflicts, u.retries.handlers = 0, 0
		return
	}
	const many = 10
	if u.retries.conflicts++; u.retries.conflicts == many {
		u.ib.log.Warn("inbox: the database ends the transaction again and again because of others (deadlock, "+
			"lock timeout, busy), trying again",
			append(slices.Clone(u.about), "conflicts", u.retries.conflicts, "error", failed.err)...)
	}
	if !failed.ofHandler {
		return
	}
	if u.retries.handlers++; u.retries.handlers >= maxConflicts {
		failed.kind = handlerFailed
		failed.err = fmt.Errorf("the handler's transaction was ended because of others %d times in a row (does "+
			"it wait for a lock that its own transaction holds, by another connection?): "+
			"%w", u.retries.handlers, failed.err)
	}
}

// reclassifyLoss tells a handler that the server has cut off from a database that has gone. A server that names the
// limit that was reached leaves no doubt. Else it is the handler if the database is there, and that is so again when
// the handler has run once more.
func (u *unitOfWork) reclassifyLoss(ctx context.Context, failed *failure) {
	switch {
	case db.IsTimeLimit(failed.err):
		failed.kind = handlerFailed
		failed.err = fmt.Errorf("the server closed the connection because the transaction stood idle or open "+
			"for too long while the handler ran: %w", failed.err)
	case !u.reachable(ctx):
		failed.kind = outage
	default:
		if u.retries.losses++; u.retries.losses >= maxLosses {
			failed.kind = handlerFailed
			failed.err = fmt.Errorf("the connection was lost %d times in a row while the handler ran, and the "+
				"database is there (does the handler take longer than the server lets a transaction be idle, or send "+
				"a statement over its limit, on MySQL max_allowed_packet?): %w", u.retries.losses, failed.err)
		}
	}
}
