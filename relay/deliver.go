package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/health"
	"github.com/postroom/postroom/relay/internal/inflight"
	"github.com/postroom/postroom/relay/internal/lanes"
	"github.com/postroom/postroom/relay/internal/topics"
)

// This file sends records to the sink. One bad topic, key or partition must not delay the others, so the
// reader does not wait for them: a record that cannot be sent now goes to the shelf, and comes back when it
// can be sent. See isolation.

// dispatch puts each record of a read in its place: the sink, the shelf, or outbox_parked. It
//
//  1. looks up which keys are blocked;
//  2. separates the records for the sink from those that must be parked;
//  3. hands records to the sink, and puts those on the shelf whose lane is full;
//  4. parks the others, or puts them on the shelf if they cannot be parked yet.
//
// Before that, holdBack has put those records on the shelf whose lane accepts none at all.
//
// An error ends the session or the round. The head has passed the records then, so they must be read again
// before anything else is sent: a later row may have the same key.
func (s *session) dispatch(ctx context.Context, records []*Record) error {
	blocked, err := s.quarantine.blockedAmong(ctx, records)
	if err != nil {
		return err
	}
	send, parking := s.quarantine.sift(records, blocked)
	if parking.halt != nil {
		s.halted = parking.halt
	}
	today := topics.Day(time.Now())
	for _, r := range send {
		s.relay.recentTopics.Note(r.Topic, today)
	}
	if !s.deliver(ctx, send) {
		return errNotDelivered
	}
	s.isolation.shelve(parking.afterOthers)
	if len(parking.rows) > 0 {
		err := s.quarantine.park(ctx, parking)
		if locked := (rowsLockedError{}); errors.As(err, &locked) {
			s.parkLater(ctx, parking.records, locked.error)
		} else if err != nil {
			return err
		}
	}
	if s.halted != nil {
		return errNotDelivered
	}
	return nil
}

// laneWait is how long the reader waits for room in a lane before it puts records on the shelf. It waits
// because records on the shelf have to be read a second time. If one busy lane has all of the traffic, every
// record would be read twice.
const laneWait = 500 * time.Millisecond

// deliver hands records to the sink, and puts those on the shelf whose lane stays full. It returns false if
// it could do neither, because the lease cannot be trusted any more, a record has failed, or ctx has ended.
func (s *session) deliver(ctx context.Context, records []*Record) bool {
	var timeout <-chan time.Time
	for {
		fit, over := s.isolation.split(records)
		if !s.handOver(ctx, fit) {
			return false
		}
		if len(over) == 0 {
			return true
		}
		if timeout == nil {
			timer := time.NewTimer(laneWait)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-s.inFlight.Changed:
		case <-timeout:
			s.isolation.shelve(over)
			return true
		case <-ctx.Done():
			return false
		}
		if len(s.inFlight.Failures()) > 0 {
			return false
		}
		records = over
	}
}

// ack is the Ack that sinks get. The in-flight set wakes the deleter, for a row of outbox_parked the reader, and for a
// failed record the session.
func (s *session) ack(r *Record, err error) {
	if s.inFlight.Ack(r.entry, err) {
		r.letGo()
	}
}

// handOver gives records to the sink's session. It returns false if the lease cannot be trusted.
func (s *session) handOver(ctx context.Context, records []*Record) bool {
	if len(records) == 0 {
		return true
	}
	if ctx.Err() != nil || !s.term.valid() {
		return false
	}
	entries := make([]inflight.Entry, len(records))
	for i, r := range records {
		if r.lane == nil { // a parked row
			r.lane = s.isolation.laneOf(r)
		}
		e := &entries[i]
		*e = inflight.Entry{ID: r.ID, Seq: r.seq, EventID: r.EventID, Size: recordSize(r),
			Hash: s.term.blocked.hash(r),
			Lane: &r.lane.Load}
		r.entry = e
		if t := r.lane.Topic.Trial; t != nil {
			t.Sent(e)
		}
	}
	s.handedOver += len(records)
	s.inFlight.Add(entries)
	s.sink.Deliver(ctx, records)
	return true
}

// shelfPause is how long the reader leaves the shelf alone after no row on it could be sent.
const shelfPause = 10 * time.Millisecond

// sendFromShelf sends the rows that may leave the shelf now: the next groups of topics on trial, and rows of
// lanes that have room.
func (s *session) sendFromShelf(ctx context.Context) error {
	iso := s.isolation
	if iso.shelf.Len()+len(iso.trials.Topics) == 0 || time.Now().Before(iso.shelfDue) {
		return nil
	}
	handed := s.handedOver
	if err := s.sendTrialGroups(ctx); err != nil {
		return err
	}
	rows, bytes := s.room()
	iso.lanes.BeginPass()
	// It uses half of the free room, as a read does.
	limit := min((rows+1)/2, s.cfg.BatchSize)
	records, err := s.readShelved(ctx, limit, (bytes+1)/2, func(l *lanes.Lane) bool {
		if iso.lanes.First(l) {
			l.Over = l.Topic.Trial != nil || !iso.ready(l) || !iso.lanes.HasRoom(l, rows, bytes)
		}
		return !l.Over
	})
	if err == nil && len(records) > 0 {
		err = s.dispatch(ctx, records)
	}
	if err == nil && s.handedOver == handed {
		iso.shelfDue = time.Now().Add(shelfPause)
	}
	return err
}

// groupsAtOnce is how many groups are sent between two reads of the table. Each group needs a read of its
// own.
const groupsAtOnce = 16

// sendTrialGroups ends trials that are over. For each trial whose last group was delivered, it sends the next
// group. The order of the topics changes from call to call.
func (s *session) sendTrialGroups(ctx context.Context) error {
	groups := 0
	for name, t := range s.isolation.trials.Topics {
		topic := s.isolation.lanes.Topic(name)
		topic.Trial = t
		if s.inFlight.WaitingOf(&topic.Load) > 0 {
			continue
		}
		if len(s.inFlight.Failures()) > 0 {
			return errNotDelivered // the group may contain the failed records
		}
		t.Settle()
		if t.Over(topic.Shelved == 0) {
			delete(s.isolation.trials.Topics, name)
			topic.Trial = nil
			maps.DeleteFunc(s.relay.overtaken, func(_ uuid.UUID, of string) bool { return of == name })
			continue
		}
		if topic.Shelved == 0 || time.Now().Before(s.isolation.trialsFrom) || groups == groupsAtOnce {
			continue
		}
		groups++
		if err := s.sendGroup(ctx, topic); err != nil {
			return err
		}
	}
	return nil
}

// sendGroup sends the next group of a topic on trial, and parks the records of it that must be parked.
// Records that it read beyond the group go back to the shelf.
func (s *session) sendGroup(ctx context.Context, topic *lanes.Topic) error {
	iso := s.isolation
	rows, bytes := s.room()
	iso.lanes.BeginPass()
	records, err := s.readShelved(ctx, min(rows, topic.Trial.ReadAhead()), bytes, func(l *lanes.Lane) bool {
		if iso.lanes.First(l) {
			l.Over, l.Drain = l.Topic != topic || !iso.ready(l), l.Drain && l.Topic != topic
		}
		return !l.Over
	})
	if err != nil || len(records) == 0 {
		return err
	}
	blocked, err := s.quarantine.blockedAmong(ctx, records)
	if err != nil {
		return err
	}
	n := s.groupOf(topic.Trial, records, blocked)
	iso.shelve(records[n:])
	return s.dispatch(ctx, records[:n])
}

// groupOf returns how many of the first records form the trial's next group. The number includes the records
// among them that will be parked.
func (s *session) groupOf(t *lanes.Trial, records []*Record, blocked map[string]bool) int {
	var keys [][]byte
	var places []int
	for i, r := range records {
		if r.Key != nil && blocked[orderKey(r.Topic, r.Key)] || s.quarantine.validate(r) != nil {
			continue
		}
		keys, places = append(keys, r.Key), append(places, i)
	}
	if n := t.Group(keys, s.transaction != nil); n < len(keys) {
		return places[n]
	}
	return len(records)
}

// readShelved takes rows from the shelf whose lanes are wanted, and reads them: at most limit rows, and about
// as many bytes as given. Rows that are not in the table any more were deleted.
func (s *session) readShelved(ctx context.Context, limit int, bytes int64, wanted func(*lanes.Lane) bool) ([]*Record,
	error) {
	if limit <= 0 || bytes <= 0 {
		return nil, nil
	}
	rows := s.isolation.shelf.Take(limit, s.cfg.maxGaps, wanted)
	if len(rows) == 0 {
		return nil, nil
	}
	s.inFlight.BeginRead()
	defer s.inFlight.EndRead()
	q := store.ReadQuery{Gaps: lanes.Ranges(rows), Head: s.cursor.head, Limit: len(rows) + 1, GapsOnly: true}
	began := time.Now()
	b, err := s.cursor.collect(ctx, q, len(rows)+1, min(bytes, s.cursor.budget.Bytes), nil)
	s.cursor.budget.Adapt(b.size, b.cut, time.Since(began), err)
	if err != nil {
		return nil, err
	}
	next := 0
	for _, r := range b.records {
		for rows[next].ID < r.ID {
			next++
		}
		r.lane = s.isolation.laneOf(r)
		if rows[next].ID != r.ID || rows[next].Lane != r.lane {
			return nil, errIDsWentBack // another event has the id now
		}
	}
	if b.cut {
		for i, row := range rows {
			if row.ID > b.last {
				s.isolation.shelf.Add(rows[i:])
				break
			}
		}
	}
	return b.records, nil
}

// resend hands those parked rows to the sink again that may be sent now, and returns them. ok is false if the
// session has to end.
func (s *session) resend(ctx context.Context, records []*Record) (sent []*inflight.Entry, ok bool) {
	send := s.isolation.sendable(ctx, records)
	if !s.handOver(ctx, send) {
		return nil, false
	}
	for _, r := range send {
		sent = append(sent, r.entry)
	}
	return sent, true
}

// lockedRest is how long the rows of a lane wait on the shelf after one of them could not be
// parked, because somebody has locked it.
const lockedRest = time.Second

// parkLater puts rows on the shelf that must be parked but cannot be parked now. There, no row of their lanes
// can overtake them, and the other lanes go on.
func (s *session) parkLater(ctx context.Context, records []*Record, err error) {
	for _, r := range records {
		r.lane.Rest = time.Now().Add(lockedRest)
	}
	s.isolation.shelve(records)
	ctx, cancel := context.WithTimeout(ctx, s.cfg.answerTimeout)
	defer cancel()
	s.health.Paused(health.Parking,
		fmt.Errorf("rows of %s that are to be parked are locked by another transaction, "+
			"which may be %s: end that session: %w", s.table, s.deleter.lockers(ctx), err))
}
