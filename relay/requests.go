package relay

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/relay"
)

// Operators request that parked events are sent again or dropped. They only set a row's state, and the
// owner's reader does the work. So nothing of the key is read, moved or unblocked at the same time
// (hazard unblock-race).
//
// A replay reads outbox_parked in the order of seq. The reader waits a short time for the records of a
// replay, and deletes their rows before it sends others. So the transaction that deletes the last row of a
// key finds no row behind it, because only the reader could have put one there.

// requestsEvery is how often the owner looks for requests.
const requestsEvery = time.Second

// replayRows and replayBytes bound one round of a replay, between two reads. replayRounds bounds the number
// of rounds after a short first one. Several rounds are needed for a key whose events keep coming: a replay
// catches up with it only if nothing is read in between. dropBatch bounds a transaction that deletes rows of
// any size at an operator's request, because that transaction holds the lock of the lease row.
const (
	replayRows   = 1000
	replayBytes  = 4 << 20
	replayRounds = 3
	dropBatch    = 100
)

// replayBudget is what is known about the size of the parked rows that are sent again.
type replayBudget struct {
	typical int64 // the size that one of the next rows is expected to have
	full    bool  // the last round left some for the next
}

// requestsDue reports whether it is time to look for requests.
func (q *quarantine) requestsDue() bool {
	return q.requestsPending || time.Since(q.requestsChecked) >= q.cfg.requestsEvery
}

// handleRequests does a part of what operators asked for.
func (q *quarantine) handleRequests(ctx context.Context) error {
	q.requestsChecked, q.requestsPending = time.Now(), false
	bounded, cancel := context.WithTimeout(ctx, q.cfg.answerTimeout)
	defer cancel()
	requests, err := q.dropRequested(bounded)
	if err != nil || !requests {
		q.rejectionLogged = q.rejectionLogged && err != nil // a later request is a new one
		return err
	}
	for range replayRounds {
		n, err := q.replay(ctx)
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		if q.replayBudget.full {
			break
		}
	}
	q.requestsPending = true
	return nil
}

// dropRequested looks for requests, and deletes the rows that operators want dropped.
func (q *quarantine) dropRequested(ctx context.Context) (requests bool, err error) {
	drops, err := q.store.DropRequested(ctx, q.term.lease, dropBatch)
	if err != nil {
		q.term.endIfLost(err)
		return false, fmt.Errorf("look for requests, and drop parked events: %w", err)
	}
	for _, d := range drops.Dropped {
		q.log.Warn("dropped a parked event, as requested", "seq", d.Seq, "row", d.ID, "event", d.EventID,
			"topic", d.Topic)
	}
	q.requestsPending = len(drops.Dropped) >= dropBatch
	q.unblock(drops.Freed)
	return drops.Requests, nil
}

func (q *quarantine) unblock(keys []db.EventKey) {
	for _, k := range keys {
		q.term.blocked.Remove(q.term.blocked.Hash(k.Topic, []byte(k.Key)))
		q.log.Info("key unblocked: none of its events is parked any more", "topic", k.Topic)
	}
}

// replay sends the next parked rows again, waits for them and deletes them. It returns
// how many it found.
func (q *quarantine) replay(ctx context.Context) (int, error) {
	if q.inFlight.WaitingFor(q.replaying) {
		return 0, nil // their partition is blocked; other records go on
	}
	if len(q.inFlight.Failures()) > 0 {
		return 0, errNotDelivered
	}
	if err := q.deleteReplayed(ctx); err != nil {
		q.term.endIfLost(err)
		return 0, err
	}
	records, err := q.readReplayable(ctx)
	if err != nil {
		return 0, fmt.Errorf("look for parked events to send again: %w", err)
	}
	send, err := q.validateParked(ctx, records)
	if err != nil {
		return 0, err
	}
	found := len(records)
	sent, ok := q.resend(ctx, send)
	if q.replaying = sent; !ok {
		return 0, errNotDelivered
	}
	if len(sent) == 0 {
		found = 0 // they wait for their topics' trials
	}
	if delivered, err := q.awaitReplay(ctx); !delivered || err != nil {
		return 0, err
	}
	if err := q.deleteReplayed(ctx); err != nil {
		q.term.endIfLost(err)
		return 0, err
	}
	return found, nil
}

// replayTimeout is how long the reader waits for a replay.
const replayTimeout = time.Second

// awaitReplay waits for the records of a replay, and reports whether all were delivered.
func (q *quarantine) awaitReplay(ctx context.Context) (bool, error) {
	timeout := time.NewTimer(replayTimeout)
	defer timeout.Stop()
	for q.inFlight.WaitingFor(q.replaying) {
		select {
		case <-q.inFlight.Changed:
		case <-timeout.C:
			return false, nil
		case <-ctx.Done():
			return false, errNotDelivered
		}
	}
	if len(q.inFlight.Failures()) > 0 {
		return false, errNotDelivered
	}
	return true, nil
}

// readReplayable asks for the number of rows that should fit into a round. If they are larger than expected,
// it takes only those that fit.
func (q *quarantine) readReplayable(ctx context.Context) ([]*Record, error) {
	ctx, cancel := context.WithTimeout(ctx, q.cfg.answerTimeout)
	defer cancel()
	var late atomic.Bool
	defer time.AfterFunc(q.cfg.longestRead()/2, func() { late.Store(true) }).Stop()
	most := min(replayBytes, q.cfg.MaxInFlightBytes/2)
	limit := min(replayRows, int(most/q.replayBudget.typical)+1)
	var records []*Record
	size := int64(0)
	err := q.store.Replayable(ctx, limit, func(row *store.ParkedRow) bool {
		r := new(Record)
		newRecord(r, &row.Row)
		r.seq = row.Seq
		records = append(records, r)
		size += recordSize(r)
		return size < most && !late.Load()
	})
	q.replayBudget.full = len(records) >= limit || size >= most || late.Load()
	if len(records) > 0 {
		q.replayBudget.typical = max(size/int64(len(records)), q.replayBudget.typical*3/4, recordOverhead)
	}
	return records, err
}

// revalidate has the sink ask again about records that it would reject. What the sink knows about a topic may
// be older than the operator's request, and the operator may have created the topic in between. There is one
// question for all records of a round, so that a retry of many records does not cost a question for each.
func (q *quarantine) revalidate(ctx context.Context, records []*Record) {
	reviewer, ok := q.validator.(Revalidator)
	if !ok {
		return
	}
	var rejected []*Record
	for _, r := range records {
		if q.topics.Has(r.Topic) && reviewer.Validate(r) != nil {
			rejected = append(rejected, r)
		}
	}
	if len(rejected) > 0 {
		reviewer.Revalidate(ctx, rejected)
	}
}

// validateParked sets rows back to failed that would be rejected again, and leaves out the rows behind them.
func (q *quarantine) validateParked(ctx context.Context, records []*Record) ([]*Record, error) {
	q.revalidate(ctx, records)
	send := make([]*Record, 0, len(records))
	var rejected []store.Rejection
	behind := make(map[string]bool)
	for _, r := range records {
		if r.Key != nil && behind[orderKey(r.Topic, r.Key)] {
			continue
		}
		reason := q.validate(r)
		if reason == nil {
			send = append(send, r)
			continue
		}
		rejected = append(rejected, store.Rejection{ParkedEvent: store.ParkedEvent{Seq: r.seq, EventID: r.EventID},
			Reason: reason.Error()})
		if !q.rejectionLogged {
			q.rejectionLogged = true // one line, not one for each event
			q.log.Warn(
				"parked events would be rejected again, this one first; `relay parked list` shows which, and why",
				"seq", r.seq, "row", r.ID, "event", r.EventID, "topic", r.Topic, "error", reason)
		}
		if r.Key != nil {
			behind[orderKey(r.Topic, r.Key)] = true
		}
	}
	if err := q.store.Reject(ctx, q.term.lease, rejected); err != nil { // in one transaction: other keys wait for it
		q.term.endIfLost(err)
		return nil, err
	}
	return send, nil
}

// deleteReplayed deletes those rows of the last replay that were delivered. They stay in flight until the
// delete has succeeded.
func (q *quarantine) deleteReplayed(ctx context.Context) error {
	delivered := q.inFlight.DeliveredOf(q.replaying)
	for _, e := range delivered {
		q.leftover.parked = append(q.leftover.parked, e.DeliveredParked())
	}
	q.replaying, q.undeletedReplays = nil, append(q.undeletedReplays, delivered...)
	err := q.leftover.deleteParked(ctx, q.part, q.store, q.unblock)
	if err == nil {
		q.inFlight.Deleted(q.undeletedReplays)
		q.undeletedReplays = nil
	}
	return err
}
