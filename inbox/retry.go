package inbox

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// retries counts why the transactions of a delivery or a batch were repeated although no handler has failed.
type retries struct {
	outages   int // tries in a row that did not reach the database
	losses    int // connections lost in a row while the handler ran, though the database answers
	conflicts int // transactions that the database ended because of others, since the last failure of another kind
	handlers  int // conflicts of the handler's own statements
}

// backoff is an exponential pause with jitter.
type backoff struct{ min, max time.Duration }

// conflictBackoff is the pause after a transaction that the database ended because of another one. The other one is
// about to end, so the pause is short.
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

// pauseAfter returns the pause before the transaction is repeated, after a failure that neither message nor handler
// has caused.
func (u *unitOfWork) pauseAfter(failed *failure) time.Duration {
	switch failed.kind {
	case outage:
		if u.retries.outages++; u.retries.outages == 1 {
			u.ib.log.Warn("inbox: the database is out of reach or cannot work, trying again until it answers",
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

// recovered records that the database answers.
func (u *unitOfWork) recovered() {
	if u.retries.outages > 0 {
		u.ib.log.Info("inbox: the database is back", append(slices.Clone(u.about), "tries", u.retries.outages)...)
	}
	u.retries.outages = 0
}

// maxConflicts is how often in a row the database may end the handler's transaction because of others. Then the
// handler counts as failed.
const maxConflicts = 100

// maxLosses is how often in a row the connection may be lost while the handler runs and the database answers. Then
// the handler counts as failed. The first time a failover or the network may be the cause.
const maxLosses = 2

// reachTimeout is how long the database may take to answer a new connection.
const reachTimeout = 5 * time.Second

// reachable reports whether the database answers a new connection right away.
func (u *unitOfWork) reachable(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	var one int
	return u.db.QueryRowContext(ctx, "SELECT 1").Scan(&one) == nil
}

// reclassify counts a failure that neither message nor handler has caused. If such failures do not end, it makes
// them failures of the handler: lost connections, and conflicts of its transaction.
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
		u.ib.log.Warn("inbox: the database repeatedly ends the transaction because of others (deadlock, lock "+
			"timeout, busy), trying again",
			append(slices.Clone(u.about), "conflicts", u.retries.conflicts, "error", failed.err)...)
	}
	if !failed.ofHandler {
		return
	}
	if u.retries.handlers++; u.retries.handlers >= maxConflicts {
		failed.kind = handlerFailed
		failed.err = fmt.Errorf("the database has ended the handler's transaction because of others %d times in a row "+
			"(does the handler wait, on another connection, for a lock that its own transaction holds?): %w",
			u.retries.handlers, failed.err)
	}
}

// reclassifyLoss decides whether a lost connection is the handler's doing or an outage. If the server names the
// limit that was reached, it is the handler. Otherwise it is the handler if the database answers, and the same
// happens when the handler runs once more.
func (u *unitOfWork) reclassifyLoss(ctx context.Context, failed *failure) {
	switch {
	case db.IsTimeLimit(failed.err):
		failed.kind = handlerFailed
		failed.err = fmt.Errorf("the server closed the connection because the transaction was idle or open "+
			"for too long while the handler ran: %w", failed.err)
	case !u.reachable(ctx):
		failed.kind = outage
	default:
		if u.retries.losses++; u.retries.losses >= maxLosses {
			failed.kind = handlerFailed
			failed.err = fmt.Errorf("the connection was lost %d times in a row while the handler ran, and the "+
				"database answers (is the handler's transaction idle for longer than the server allows, or does it "+
				"send a statement over the server's limit, on MySQL max_allowed_packet?): "+
				"%w", u.retries.losses, failed.err)
		}
	}
}
