package relay

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/postroom/postroom/internal/dialect"
)

// What operators asked for: parked events to send again or to drop. They set a row's
// state; the owner's reader does it, so that nothing of the key is read, moved or
// unblocked at the same time (hazard unblock-race).
//
// A replay goes by seq, out of outbox_parked itself. The reader waits for it, though not for
// long, and deletes the rows before it sends others: the transaction that deletes the last row of a key finds
// none behind it, because only the reader could have put one there.

// requestsEvery is how often the owner looks whether something was asked.
const requestsEvery = time.Second

// replayAtOnce and replayBytes bound one round of a replay, between two reads, and
// roundsAtOnce the rounds when the first was short: a key whose events keep coming
// is caught up with only if nothing is read in between. dropAtOnce bounds a transaction
// that deletes rows as they are asked for, of any size, under the lease row's lock.
const (
	replayRows   = 1000
	replayBytes  = 4 << 20
	replayRounds = 3
	dropBatch    = 100
)

// replayBudget is what is known of the parked rows that are sent again.
type replayBudget struct {
	typical int64 // the size that one of the next is expected to have
	full    bool  // the last round left some for the next
}

// requestsDue reports whether to look.
func (s *session) requestsDue() bool {
	return s.requestsPending || time.Since(s.requestsChecked) >= s.relay.cfg.requestsEvery
}

// handleRequests does what operators asked for, a part of it at a time.
func (s *session) handleRequests(ctx context.Context) error {
	s.requestsChecked, s.requestsPending = time.Now(), false
	bounded, cancel := context.WithTimeout(ctx, s.relay.cfg.answerTimeout)
	defer cancel()
	asked, err := s.relay.store.Asked(bounded)
	if err != nil || !asked {
		s.refusalLogged = s.refusalLogged && err != nil // a wish that comes later is another one
		return err
	}
	if err := s.dropRequested(bounded); err != nil {
		return err
	}
	for range replayRounds {
		n, err := s.replay(ctx)
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		if s.replayBudget.full {
			break
		}
	}
	s.requestsPending = true
	return nil
}

// dropRequested deletes the rows that operators gave up.
func (s *session) dropRequested(ctx context.Context) error {
	dropped, freed, err := s.relay.store.DropAsked(ctx, s.lease, dropBatch)
	if err != nil {
		s.keeper.endIfLost(err)
		return fmt.Errorf("drop parked events: %w", err)
	}
	for _, d := range dropped {
		s.relay.log.Warn("dropped a parked event, as asked", "seq", d.Seq, "row", d.ID, "event", d.EventID, "topic", d.Topic)
	}
	s.requestsPending = len(dropped) >= dropBatch
	s.unblock(freed)
	return nil
}

func (s *session) unblock(keys []dialect.EventKey) {
	for _, k := range keys {
		s.keeper.blocked.remove(s.keeper.blocked.hash(k.Topic, []byte(k.Key)))
		s.relay.log.Info("key unblocked: nothing of it is parked any more", "topic", k.Topic)
	}
}

// replay sends the next parked rows again, waits for them and deletes them. It returns
// how many it found.
func (s *session) replay(ctx context.Context) (int, error) {
	if s.flights.waitingFor(s.replaying) {
		return 0, nil // of a partition that stands still: the others go on
	}
	if len(s.flights.failures()) > 0 {
		return 0, errNotDelivered
	}
	if err := s.deleteReplayed(ctx); err != nil {
		s.keeper.endIfLost(err)
		return 0, err
	}
	records, err := s.readReplayable(ctx)
	if err != nil {
		return 0, fmt.Errorf("look for parked events to send again: %w", err)
	}
	send, err := s.validateParked(ctx, records)
	if err != nil {
		return 0, err
	}
	found := len(records)
	if send = s.sendable(ctx, send); len(send) == 0 {
		found = 0 // until the topics' trials allow them
	}
	s.replaying = send
	if !s.handOver(ctx, send) {
		return 0, errNotDelivered
	}
	if delivered, err := s.awaitReplay(ctx); !delivered || err != nil {
		return 0, err
	}
	if err := s.deleteReplayed(ctx); err != nil {
		s.keeper.endIfLost(err)
		return 0, err
	}
	return found, nil
}

// sendable takes the records that may go now: of topics on trial the next group, and none
// of lanes that are not ready.
func (s *session) sendable(ctx context.Context, records []*Record) []*Record {
	if s.sinkLanes != nil {
		s.sinkLanes.Learn(ctx, records)
	}
	s.lanes.pass++
	byTopic := make(map[*topicState][]*Record)
	send := make([]*Record, 0, len(records))
	for _, r := range records {
		r.lane = s.laneOf(r)
		if l := r.lane; l.pass != s.lanes.pass {
			l.pass, l.over = s.lanes.pass, !s.ready(l)
		}
		switch topic := r.lane.topic; {
		case r.lane.over:
		case topic.trial != nil:
			byTopic[topic] = append(byTopic[topic], r)
		default:
			send = append(send, r)
		}
	}
	for topic, waiting := range byTopic {
		if s.flights.waitingOf(topic) == 0 && !time.Now().Before(s.trialsFrom) {
			topic.trial.settle()
			send = append(send, waiting[:topic.trial.group(waiting, s.tx != nil)]...)
		}
	}
	return send
}

// replayTimeout is how long the reader waits for a replay.
const replayTimeout = time.Second

// awaitReplay waits for the records of a replay, and reports whether all were delivered.
func (s *session) awaitReplay(ctx context.Context) (bool, error) {
	timeout := time.NewTimer(replayTimeout)
	defer timeout.Stop()
	for s.flights.waitingFor(s.replaying) {
		select {
		case <-s.flights.changed:
		case <-timeout.C:
			return false, nil
		case <-ctx.Done():
			return false, errNotDelivered
		}
	}
	if len(s.flights.failures()) > 0 {
		return false, errNotDelivered
	}
	return true, nil
}

// readReplayable asks for as many rows as are expected to fit into a round. When they are
// larger than that, it takes in those that do.
func (s *session) readReplayable(ctx context.Context) ([]*Record, error) {
	ctx, cancel := context.WithTimeout(ctx, s.relay.cfg.answerTimeout)
	defer cancel()
	var late atomic.Bool
	defer time.AfterFunc(s.budget.longest/2, func() { late.Store(true) }).Stop()
	most := min(replayBytes, s.relay.cfg.MaxInFlightBytes/2)
	limit := min(replayRows, int(most/s.replayBudget.typical)+1)
	var records []*Record
	size := int64(0)
	err := s.relay.store.Replayable(ctx, limit, func(row *dialect.ParkedRow) bool {
		r := new(Record)
		newRecord(r, &row.Row)
		r.seq = row.Seq
		records = append(records, r)
		size += recordSize(r)
		return size < most && !late.Load()
	})
	s.replayBudget.full = len(records) >= limit || size >= most || late.Load()
	if len(records) > 0 {
		s.replayBudget.typical = max(size/int64(len(records)), s.replayBudget.typical*3/4, recordOverhead)
	}
	return records, err
}

// revalidate has the sink ask anew about records that it would refuse: what it knows of a topic
// may be older than the operator's wish, who has created the topic meanwhile. It asks once
// for all records of a round, so that a retry of many costs no question for each.
func (s *session) revalidate(ctx context.Context, records []*Record) {
	reviewer, ok := s.validator.(Revalidator)
	if !ok {
		return
	}
	var refused []*Record
	for _, r := range records {
		if s.relay.topics.allows(r.Topic) && reviewer.Validate(r) != nil {
			refused = append(refused, r)
		}
	}
	if len(refused) > 0 {
		reviewer.Revalidate(ctx, refused)
	}
}

// validateParked puts back to failed what would be refused again, and leaves out what
// waits behind it.
func (s *session) validateParked(ctx context.Context, records []*Record) ([]*Record, error) {
	s.revalidate(ctx, records)
	send := make([]*Record, 0, len(records))
	var refused []dialect.Refusal
	behind := make(map[string]bool)
	for _, r := range records {
		if r.Key != nil && behind[orderKey(r.Topic, r.Key)] {
			continue
		}
		reason := s.validate(r)
		if reason == nil {
			send = append(send, r)
			continue
		}
		refused = append(refused, dialect.Refusal{ParkedEvent: dialect.ParkedEvent{Seq: r.seq, EventID: r.EventID}, Reason: reason.Error()})
		if !s.refusalLogged {
			s.refusalLogged = true // one line, not one for each event
			s.relay.log.Warn("parked events would be refused again, this one first; `relay parked list` shows which, and why",
				"seq", r.seq, "row", r.ID, "event", r.EventID, "topic", r.Topic, "error", reason)
		}
		if r.Key != nil {
			behind[orderKey(r.Topic, r.Key)] = true
		}
	}
	if err := s.relay.store.Refuse(ctx, s.lease, refused); err != nil { // in one transaction: other keys wait for it
		s.keeper.endIfLost(err)
		return nil, err
	}
	return send, nil
}

// deleteReplayed deletes those of the last replay that were delivered. They stay in flight
// until that has succeeded.
func (s *session) deleteReplayed(ctx context.Context) error {
	delivered := s.flights.deliveredOf(s.replaying)
	for _, fl := range delivered {
		s.relay.leftoverParked = append(s.relay.leftoverParked, fl.parkedPlace())
	}
	s.replaying, s.undeletedReplays = nil, append(s.undeletedReplays, delivered...)
	err := s.relay.deleteLeftoverParked(ctx, s.keeper, s.unblock)
	if err == nil {
		s.flights.deleted(s.undeletedReplays)
		s.undeletedReplays = nil
	}
	return err
}

// deleteLeftoverParked deletes what was delivered out of outbox_parked and may still be there, also
// in an earlier session of this process: it would be sent again.
func (r *Relay) deleteLeftoverParked(ctx context.Context, k *keeper, unblock func([]dialect.EventKey)) error {
	if len(r.leftoverParked) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.answerTimeout)
	defer cancel()
	freed, err := r.removeLeftoverParked(ctx, k.lease)
	unblock(freed) // also those before an error
	if err != nil {
		return fmt.Errorf("delete delivered events from the parked ones: %w", err)
	}
	r.leftoverParked = nil
	return nil
}
