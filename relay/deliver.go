package relay

import (
	"context"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/dialect"
)

// How records reach the sink so that one bad topic, key or partition delays no other: the
// reader waits for none of them. What cannot go now goes to the shelf, and comes back when
// it can: see shelf, lane and trial.

// laneWait is how long the reader waits for room in a lane before it puts records on the
// shelf. It spares a second read where one busy lane has all the traffic.
const laneWait = 500 * time.Millisecond

// holdBack puts those records on the shelf that must not go yet: their topic is on trial,
// earlier rows of their lane are on the shelf, or the lane is not ready. It returns the others.
func (s *session) holdBack(ctx context.Context, records []*Record) []*Record {
	if s.sinkLanes != nil {
		s.sinkLanes.Learn(ctx, records)
	}
	if len(s.lanes.lanes) >= s.lanes.prune {
		s.pruneLanes() // now, that no record has a lane
	}
	s.lanes.pass++
	var back []*Record
	kept := records[:0]
	for _, r := range records {
		l := s.laneOf(r)
		r.lane = l
		if l.pass != s.lanes.pass {
			l.pass, l.over = s.lanes.pass, l.shelved > 0 || l.topic.trial != nil || !s.ready(l)
		}
		if l.over {
			back = append(back, r)
		} else {
			kept = append(kept, r)
		}
	}
	s.shelve(back)
	return kept
}

// shelve puts records on the shelf.
func (s *session) shelve(records []*Record) {
	s.shelf.add(records)
	s.onShelf.Store(int64(len(s.shelf.rows)))
}

// deliver hands records to the sink, unless the lease cannot be trusted any more, and
// reports whether it has handed over all, or put them on the shelf. If not, the session
// must read no more: the head has passed the others, and what a further read finds may be
// of their keys.
func (s *session) deliver(ctx context.Context, records []*Record) bool {
	var timeout <-chan time.Time
	for {
		fit, over := s.split(records)
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
		case <-s.flights.changed:
		case <-timeout:
			s.shelve(over)
			return true
		case <-ctx.Done():
			return false
		}
		if len(s.flights.failures()) > 0 {
			return false
		}
		records = over
	}
}

func (s *session) handOver(ctx context.Context, records []*Record) bool {
	if len(records) == 0 {
		return true
	}
	if ctx.Err() != nil || !s.keeper.valid() {
		return false
	}
	for _, r := range records {
		if r.lane == nil { // a parked row
			r.lane = s.laneOf(r)
		}
		if t := r.lane.topic.trial; t != nil {
			t.out = append(t.out, r.flightID())
		}
		s.highest = max(s.highest, r.flightID())
	}
	s.handedOver += len(records)
	s.flights.add(records)
	s.out.Deliver(ctx, records)
	return true
}

// shelfPause is how long the shelf is left alone after nothing on it could go.
const shelfPause = 10 * time.Millisecond

// sendFromShelf sends what may leave the shelf by now, groups of topics on trial and rows of
// lanes with room.
func (s *session) sendFromShelf(ctx context.Context) error {
	if len(s.shelf.rows)+len(s.trials.topics) == 0 || time.Now().Before(s.shelfDue) {
		return nil
	}
	handed := s.handedOver
	if err := s.sendTrialGroups(ctx); err != nil {
		return err
	}
	rows, bytes := s.room()
	s.lanes.pass++
	// Half of what is free, as for a read.
	err := s.sendShelved(ctx, min((rows+1)/2, s.relay.cfg.BatchSize), (bytes+1)/2, func(l *lane) bool {
		if l.pass != s.lanes.pass {
			l.pass, l.over = s.lanes.pass, l.topic.trial != nil || !s.ready(l) || !s.roomIn(l, rows, bytes)
		}
		return !l.over
	}, nil)
	if err == nil && s.handedOver == handed {
		s.shelfDue = time.Now().Add(shelfPause)
	}
	return err
}

func (s *session) roomIn(l *lane, rows int, bytes int64) bool {
	s.flights.mu.Lock()
	defer s.flights.mu.Unlock()
	if l.drain && l.waiting == 0 {
		l.drain = false
	}
	return !l.drain && !l.full(rows, bytes)
}

// groupsAtOnce is how many groups are sent between two reads of the table: each is read by
// itself.
const groupsAtOnce = 16

// sendTrialGroups ends trials that are over, and sends the next group of those whose last one
// was delivered. Which topics come first differs from time to time.
func (s *session) sendTrialGroups(ctx context.Context) error {
	groups := 0
	for name, t := range s.trials.topics {
		topic := s.topicOf(name)
		topic.trial = t
		if s.flights.waitingOf(topic) > 0 {
			continue
		}
		if len(s.flights.failures()) > 0 {
			return errNotDelivered // the group may be among them
		}
		t.settle()
		if t.over(topic.shelved == 0) {
			delete(s.trials.topics, name)
			topic.trial = nil
			maps.DeleteFunc(s.relay.overtaken, func(_ uuid.UUID, of string) bool { return of == name })
			continue
		}
		if topic.shelved == 0 || time.Now().Before(s.trialsFrom) || groups == groupsAtOnce {
			continue
		}
		groups++
		rows, bytes := s.room()
		s.lanes.pass++
		err := s.sendShelved(ctx, min(rows, max(2*t.size, trialAhead)), bytes, func(l *lane) bool {
			if l.pass != s.lanes.pass {
				l.pass, l.over, l.drain = s.lanes.pass, l.topic != topic || !s.ready(l), l.drain && l.topic != topic
			}
			return !l.over
		}, t)
		if err != nil {
			return err
		}
	}
	return nil
}

// sendShelved reads rows of the lanes that are wanted, and dispatches them: with a trial,
// its next group of them, and the rest goes back.
func (s *session) sendShelved(ctx context.Context, limit int, bytes int64, wanted func(*lane) bool, t *trial) error {
	if limit <= 0 || bytes <= 0 {
		return nil
	}
	rows := s.shelf.take(limit, s.relay.cfg.maxGaps, wanted)
	s.onShelf.Store(int64(len(s.shelf.rows)))
	if len(rows) == 0 {
		return nil
	}
	records, err := s.readShelved(ctx, rows, bytes)
	if err != nil {
		return err
	}
	if t != nil {
		blocked, err := s.blockedAmong(ctx, records)
		if err != nil {
			return err
		}
		n := s.groupOf(t, records, blocked)
		s.shelve(records[n:])
		records = records[:n]
	}
	return s.dispatch(ctx, records)
}

// groupOf returns how many of the first records make the trial's next group, with what
// will be parked among them.
func (s *session) groupOf(t *trial, records []*Record, blocked map[string]bool) int {
	var group []*Record
	var places []int
	for i, r := range records {
		if r.Key != nil && blocked[orderKey(r.Topic, r.Key)] || s.validate(r) != nil {
			continue
		}
		group, places = append(group, r), append(places, i)
	}
	if n := t.group(group, s.tx != nil); n < len(group) {
		return places[n]
	}
	return len(records)
}

// readShelved reads rows that were on the shelf. What is not there any more was deleted.
func (s *session) readShelved(ctx context.Context, rows []shelved, bytes int64) ([]*Record, error) {
	s.flights.beginRead()
	defer s.flights.endRead()
	q := dialect.ReadQuery{Gaps: runs(rows), Head: s.head, Limit: len(rows) + 1, GapsOnly: true}
	began := time.Now()
	b, err := s.collect(ctx, q, len(rows)+1, min(bytes, s.budget.bytes), nil)
	s.budget.adapt(b, time.Since(began), err)
	if err != nil {
		return nil, err
	}
	next := 0
	for _, r := range b.records {
		for rows[next].id < r.ID {
			next++
		}
		r.lane = s.laneOf(r)
		if rows[next].id != r.ID || rows[next].lane != r.lane {
			return nil, errIDsWentBack // another event has the id now
		}
	}
	if b.cut {
		for i, row := range rows {
			if row.id > b.last {
				s.shelf.restore(rows[i:])
				s.onShelf.Store(int64(len(s.shelf.rows)))
				break
			}
		}
	}
	return b.records, nil
}

// dispatch hands the records of a read to the sink, and sets aside those that it would
// refuse and those that wait behind one.
func (s *session) dispatch(ctx context.Context, records []*Record) error {
	blocked, err := s.blockedAmong(ctx, records)
	if err != nil {
		return err
	}
	deliver, a := s.sift(records, blocked)
	s.relay.recentTopics.note(deliver, time.Now())
	if !s.deliver(ctx, deliver) {
		return errNotDelivered
	}
	s.shelve(a.later)
	if len(a.rows) > 0 {
		if err := s.park(ctx, a); err != nil {
			return err
		}
	}
	if s.refused != nil {
		return errNotDelivered
	}
	return nil
}
