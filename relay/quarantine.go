package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/blocked"
	"github.com/postroom/postroom/relay/internal/inflight"
	"github.com/postroom/postroom/relay/internal/topics"
)

// quarantine decides which records must not go to the sink, parks them, and handles operators' requests for
// parked rows: to send them again, or to drop them. It belongs to the goroutine that reads.
type quarantine struct {
	part
	store interface {
		parkingStore
		operatorRequests
	}
	topics    topics.Allowed
	leftover  *leftover
	validator Validator // the sink's session if it validates, or nil
	resend    resendFunc

	loaded bool // the blocked keys are known, and no move of rows is open

	requestsChecked  time.Time         // when it last looked for operators' requests
	requestsPending  bool              // there are more requests
	rejectionLogged  bool              // it is logged that rows to be sent again would be rejected
	replaying        []*inflight.Entry // the parked rows that were sent last
	undeletedReplays []*inflight.Entry // delivered ones that are not known to be deleted
	replayBudget     replayBudget
}

// blockedKeys is what an owner knows about the keys that have parked rows. It lives as long as the lease.
// With the policy skip no key is blocked, and it says how far the parked rows are marked.
//
// Only the owner moves rows, so the set stays correct without being read again. It is read again after a move
// whose outcome is not known. It is also read again on another server, because the lease is another one
// there. Only the goroutine that reads uses it.
type blockedKeys struct {
	blocked.Keys
	loaded     bool
	after      store.BlockedPart // if not loaded: where the walk goes on
	slowLogged bool              // it is logged that marking takes long
}

// forget empties the set, so that it is loaded again.
func (b *blockedKeys) forget() {
	b.Clear()
	b.loaded, b.after, b.slowLogged = false, store.BlockedPart{}, false
}

// hash is the number of a record's topic and key, 0 if it has no key. Two keys may have the same number, and
// every caller must be correct in that case too.
func (b *blockedKeys) hash(r *Record) uint64 {
	if r.Key == nil {
		return 0
	}
	return b.Hash(r.Topic, r.Key)
}

// resendFunc hands parked rows to the sink, and returns those that could be sent now. ok is false if the
// session has to end.
type resendFunc func(context.Context, []*Record) (sent []*inflight.Entry, ok bool)

func newQuarantine(p part, st database, allowed topics.Allowed, left *leftover, resend resendFunc) *quarantine {
	return &quarantine{
		part: p, store: st, topics: allowed, leftover: left, resend: resend,
		replayBudget: replayBudget{typical: replayBytes/firstReplay + 1},
	}
}

// firstReplay is the number of parked rows that the first replay of a session asks for, when their size is
// not known yet.
const firstReplay = 32

// load loads the keys that have parked rows, unless they are known. A move whose answer was lost may still be
// committing. Then load waits for that move to end, which it notices because the move holds the lock of the
// lease row.
func (q *quarantine) load(ctx context.Context) error {
	if q.loaded {
		return nil
	}
	err := q.cfg.bounded(ctx, func(ctx context.Context) error { return q.store.WaitForMoves(ctx, q.term.lease) })
	if err != nil {
		q.term.endIfLost(err)
		return err
	}
	walk := q.loadBlockedPart
	if q.cfg.OnRejection == Skip {
		walk = q.markOvertaken // with this policy no key is blocked
	}
	for b := q.term.blocked; err == nil && !b.loaded && !b.Full(); {
		// Each part of the walk has its own time limit. After a failure the walk goes on at the part that
		// failed.
		err = q.cfg.bounded(ctx, walk)
	}
	q.loaded = err == nil
	return err
}

// blockedAmong looks up which keys of the records are blocked.
func (q *quarantine) blockedAmong(ctx context.Context, records []*Record) (map[string]bool, error) {
	b := q.term.blocked
	if b.Empty() || q.cfg.OnRejection == Skip {
		return nil, nil
	}
	looks := make(map[string]bool)
	var keys []db.EventKey
	for _, r := range records {
		if r.Key == nil || !b.May(b.Hash(r.Topic, r.Key)) {
			continue
		}
		if key := orderKey(r.Topic, r.Key); !looks[key] {
			looks[key] = true
			keys = append(keys, db.EventKey{Topic: r.Topic, Key: string(r.Key)})
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	blocked := make(map[string]bool)
	err := q.cfg.bounded(ctx, func(ctx context.Context) error {
		found, err := q.store.FindBlockedKeys(ctx, keys)
		for _, k := range found {
			blocked[orderKey(k.Topic, []byte(k.Key))] = true
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for blocked keys: %w", err)
	}
	return blocked, nil
}

// loadBlockedPart loads the next part of the parked keys.
func (q *quarantine) loadBlockedPart(ctx context.Context) error {
	b := q.term.blocked
	var hashes []uint64
	after, more, err := q.store.ScanBlockedKeys(ctx, b.after, func(topic string, key []byte) {
		hashes = append(hashes, b.Hash(topic, key))
	})
	if err != nil {
		return fmt.Errorf("look for blocked keys: %w", err)
	}
	for _, hash := range hashes {
		b.Add(hash)
	}
	b.after, b.loaded = after, !more
	return nil
}

// markOvertaken marks the next part of the rows that another policy has parked. The policy skip delivers
// nothing before all rows are marked. Otherwise a later event of a key could be delivered first, and an
// operator could have the parked one sent again without a warning (hazard unmarked-overtaking).
func (q *quarantine) markOvertaken(ctx context.Context) error {
	b := q.term.blocked
	if b.after.Seq > 0 && !b.slowLogged {
		b.slowLogged = true
		q.log.Info("marking parked events as overtaken, by the policy skip: delivery goes on when all are marked",
			"table", q.table, "marked_up_to", b.after.Seq)
	}
	next, more, err := q.store.MarkOvertaken(ctx, q.term.lease, b.after.Seq)
	if err != nil {
		q.term.endIfLost(err)
		return fmt.Errorf("mark parked events as overtaken: %w", err)
	}
	b.after.Seq, b.loaded = next, !more
	return nil
}
