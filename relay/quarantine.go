package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/relay"
)

// quarantine decides which records the sink must not get, parks them, and does what operators
// ask for parked rows: send them again, or drop them. It belongs to the goroutine that reads.
type quarantine struct {
	relay     *Relay
	keeper    *keeper
	lease     store.Lease
	inFlight  *inFlightSet
	validator Validator // the sink's session, if it validates; else nil
	resend    resendFunc

	loaded bool // the blocked keys are known, and no move of rows is open

	requestsChecked  time.Time // when operators' requests were looked for
	requestsPending  bool      // there are more of them
	refusalLogged    bool      // the log has that rows to be sent again would be rejected
	replaying        []*Record // the parked rows that were sent last
	undeletedReplays []*flight // those that were delivered, and are not known to be deleted
	replayBudget     replayBudget
}

// resendFunc hands parked rows to the sink, and returns those that could go now. ok is false if
// the session has to end.
type resendFunc func(context.Context, []*Record) (sent []*Record, ok bool)

func newQuarantine(r *Relay, k *keeper, flights *inFlightSet, resend resendFunc) *quarantine {
	return &quarantine{
		relay: r, keeper: k, lease: k.lease, inFlight: flights, resend: resend,
		replayBudget: replayBudget{typical: replayBytes/firstReplay + 1},
	}
}

// firstReplay is how many parked rows the first replay of a session asks for, before it is
// known how large they are.
const firstReplay = 32

// load learns which keys have parked rows, if it is not known. Where a move may
// still be committing whose answer was lost, it waits for that: the move holds the lease
// row's lock.
func (q *quarantine) load(ctx context.Context) error {
	if q.loaded {
		return nil
	}
	err := q.relay.bounded(ctx, func(ctx context.Context) error { return q.relay.store.WaitForMoves(ctx, q.lease) })
	if err != nil {
		q.keeper.endIfLost(err)
		return err
	}
	walk := q.loadBlockedPart
	if q.relay.cfg.OnRejection == Skip {
		walk = q.markOvertaken // nothing is blocked
	}
	for b := q.keeper.blocked; err == nil && !b.loaded && !b.full(); {
		// Each part has a time limit of its own, and what was walked before one that fails
		// is not walked again.
		err = q.relay.bounded(ctx, walk)
	}
	q.loaded = err == nil
	return err
}

// blockedAmong looks up which keys of the records are blocked.
func (q *quarantine) blockedAmong(ctx context.Context, records []*Record) (map[string]bool, error) {
	b := q.keeper.blocked
	if b.count == 0 || q.relay.cfg.OnRejection == Skip {
		return nil, nil
	}
	looks := make(map[string]bool)
	var keys []db.EventKey
	for _, r := range records {
		if r.Key == nil || !b.may(b.hash(r.Topic, r.Key)) {
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
	err := q.relay.bounded(ctx, func(ctx context.Context) error {
		found, err := q.relay.store.FindBlockedKeys(ctx, keys)
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
