package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/health"
	"github.com/postroom/postroom/relay/internal/inflight"
)

// leftover has rows that this process has delivered and that may still be in the tables: their delete failed,
// or nobody knows whether it committed. It lives longer than sessions and terms, because a session that began
// before these rows are deleted would send them again.
//
// One goroutine at a time uses it: that of Run, or that of the reader while a session runs.
type leftover struct {
	events []store.Delivered
	parked []store.DeliveredParked // in outbox_parked
}

// leftoverStore is what the deletes of leftovers need.
type leftoverStore interface {
	deletes
	operatorRequests
}

// delete deletes all of these rows while the lease is held. It leaves rows that another transaction has
// locked to the next session. After a stop it takes no longer than the drain timeout.
func (l *leftover) delete(stop context.Context, p part, from leftoverStore) error {
	if len(l.events)+len(l.parked) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(p.term.ctx)
	defer cancel()
	defer context.AfterFunc(stop, func() { time.AfterFunc(p.cfg.DrainTimeout, cancel) })()
	var locked []store.Delivered
	for len(l.events) > 0 {
		n := inflight.Fitting(len(l.events), inflight.MaxDelete, func(i int) int64 { return l.events[i].Size })
		left, err := avoidingLocks(l.events[:n], lockWaits, func(rows []store.Delivered) error {
			return p.deleteNamed(ctx, from, rows)
		})
		if err != nil {
			l.events = append(locked, l.events...)
			return fmt.Errorf("delete what was delivered before: %w", err)
		}
		l.events, locked = l.events[n:], append(locked, left...)
	}
	l.events = locked
	if err := l.deleteParked(ctx, p, from, func([]db.EventKey) {}); err != nil {
		return err
	}
	p.health.Resumed(health.Deletes)
	return nil
}

// deleteParked deletes the rows in outbox_parked, also during a session. It calls unblock with the keys that
// have no parked row any more.
func (l *leftover) deleteParked(ctx context.Context, p part, from operatorRequests,
	unblock func([]db.EventKey)) error {
	if len(l.parked) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.answerTimeout)
	defer cancel()
	freed, err := from.Unpark(ctx, p.term.lease, l.parked)
	unblock(freed) // also for keys that were freed before an error
	if err != nil {
		return fmt.Errorf("delete delivered events from the parked ones: %w", err)
	}
	l.parked = nil
	return nil
}

// deleteNamed deletes rows one by one, not in runs. After it has returned without an error, none of the rows
// is left on the server that granted the lease.
func (p part) deleteNamed(ctx context.Context, from deletes, rows []store.Delivered) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.answerTimeout)
	defer cancel()
	_, err := from.DeleteDelivered(ctx, p.term.lease, rows)
	return explainArchive(p.cfg, err)
}
