package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/topics"
)

// How records reach the sink. One bad topic, key or partition must not delay the others, so the
// reader waits for none of them: a record that cannot go now goes to the shelf, and comes back
// when it can. See isolation.

// dispatch sends each record of a read on its way: to the sink, to the shelf, or to
// outbox_parked. holdBack has put those on the shelf before whose lane cannot take them.
//
// An error ends the session or the round. The head has passed the records then, so they must be
// read again before anything else is sent: a later row may be of their keys.
func (s *session) dispatch(ctx context.Context, records []*Record) error {
	blocked, err := s.quarantine.blockedAmong(ctx, records)
	if err != nil {
		return err
	}
	send, parking := s.quarantine.sift(records, blocked)
	if parking.halt != nil {
		s.refused = parking.halt
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
	if s.refused != nil {
		return errNotDelivered
	}
	return nil
}

// laneWait is how long the reader waits for room in a lane before it puts records on the
// shelf. Records on the shelf have to be read a second time, which one busy lane with all of the
// traffic would cost every time.
const laneWait = 500 * time.Millisecond

// deliver hands records to the sink, and puts those on the shelf whose lane stays full. It
// returns false if it could do neither: the lease cannot be trusted any more, a record has
// failed, or ctx has ended.
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
		case <-s.inFlight.changed:
		case <-timeout:
			s.isolation.shelve(over)
			return true
		case <-ctx.Done():
			return false
		}
		if len(s.inFlight.failures()) > 0 {
			return false
		}
		records = over
	}
}

// handOver gives records to the sink's session. It returns false if the lease cannot be trusted.
func (s *session) handOver(ctx context.Context, records []*Record) bool {
	if len(records) == 0 {
		return true
	}
	if ctx.Err() != nil || !s.keeper.valid() {
		return false
	}
	for _, r := range records {
		if r.lane == nil { // a parked row
			r.lane = s.isolation.laneOf(r)
		}
		if t := r.lane.topic.trial; t != nil {
			t.out = append(t.out, r.flightID())
		}
	}
	s.handedOver += len(records)
	s.inFlight.add(records)
	s.out.Deliver(ctx, records)
	return true
}

// shelfPause is how long the shelf is left alone after nothing on it could go.
const shelfPause = 10 * time.Millisecond

// sendFromShelf sends the rows that may leave the shelf by now: the next groups of topics on
// trial, and rows of lanes that have room.
func (s *session) sendFromShelf(ctx context.Context) error {
	if len(s.isolation.shelf.rows)+len(s.isolation.trials.topics) == 0 || time.Now().Before(s.isolation.shelfDue) {
		return nil
	}
	handed := s.handedOver
	if err := s.sendTrialGroups(ctx); err != nil {
		return err
	}
	rows, bytes := s.room()
	s.isolation.lanes.pass++
	// Half of what is free, as for a read.
	err := s.sendShelved(ctx, min((rows+1)/2, s.relay.cfg.BatchSize), (bytes+1)/2, func(l *lane) bool {
		if l.pass != s.isolation.lanes.pass {
			l.pass, l.over = s.isolation.lanes.pass, l.topic.trial != nil || !s.isolation.ready(l) ||
				!s.isolation.roomIn(l, rows, bytes)
		}
		return !l.over
	}, nil)
	if err == nil && s.handedOver == handed {
		s.isolation.shelfDue = time.Now().Add(shelfPause)
	}
	return err
}

// groupsAtOnce is how many groups are sent between two reads of the table: each is read by
// itself.
const groupsAtOnce = 16

// sendTrialGroups ends trials that are over, and sends the next group of those whose last one
// was delivered. Which topics come first differs from time to time.
func (s *session) sendTrialGroups(ctx context.Context) error {
	groups := 0
	for name, t := range s.isolation.trials.topics {
		topic := s.isolation.topicOf(name)
		topic.trial = t
		if s.inFlight.waitingOf(topic) > 0 {
			continue
		}
		if len(s.inFlight.failures()) > 0 {
			return errNotDelivered // the group may be among them
		}
		t.settle()
		if t.over(topic.shelved == 0) {
			delete(s.isolation.trials.topics, name)
			topic.trial = nil
			maps.DeleteFunc(s.relay.overtaken, func(_ uuid.UUID, of string) bool { return of == name })
			continue
		}
		if topic.shelved == 0 || time.Now().Before(s.isolation.trialsFrom) || groups == groupsAtOnce {
			continue
		}
		groups++
		rows, bytes := s.room()
		s.isolation.lanes.pass++
		err := s.sendShelved(ctx, min(rows, max(2*t.size, trialAhead)), bytes, func(l *lane) bool {
			if l.pass != s.isolation.lanes.pass {
				l.pass, l.over, l.drain = s.isolation.lanes.pass, l.topic != topic || !s.isolation.ready(l),
					l.drain && l.topic != topic
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
	rows := s.isolation.shelf.take(limit, s.relay.cfg.maxGaps, wanted)
	s.isolation.onShelf.Store(int64(len(s.isolation.shelf.rows)))
	if len(rows) == 0 {
		return nil
	}
	records, err := s.readShelved(ctx, rows, bytes)
	if err != nil {
		return err
	}
	if t != nil {
		blocked, err := s.quarantine.blockedAmong(ctx, records)
		if err != nil {
			return err
		}
		n := s.groupOf(t, records, blocked)
		s.isolation.shelve(records[n:])
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
		if r.Key != nil && blocked[orderKey(r.Topic, r.Key)] || s.quarantine.validate(r) != nil {
			continue
		}
		group, places = append(group, r), append(places, i)
	}
	if n := t.group(group, s.transaction != nil); n < len(group) {
		return places[n]
	}
	return len(records)
}

// readShelved reads rows that were on the shelf. What is not there any more was deleted.
func (s *session) readShelved(ctx context.Context, rows []shelved, bytes int64) ([]*Record, error) {
	s.inFlight.beginRead()
	defer s.inFlight.endRead()
	q := store.ReadQuery{Gaps: runs(rows), Head: s.cursor.head, Limit: len(rows) + 1, GapsOnly: true}
	began := time.Now()
	b, err := s.cursor.collect(ctx, q, len(rows)+1, min(bytes, s.cursor.budget.Bytes), nil)
	s.cursor.budget.Adapt(b.size, b.cut, time.Since(began), err)
	if err != nil {
		return nil, err
	}
	next := 0
	for _, r := range b.records {
		for rows[next].id < r.ID {
			next++
		}
		r.lane = s.isolation.laneOf(r)
		if rows[next].id != r.ID || rows[next].lane != r.lane {
			return nil, errIDsWentBack // another event has the id now
		}
	}
	if b.cut {
		for i, row := range rows {
			if row.id > b.last {
				s.isolation.shelf.restore(rows[i:])
				s.isolation.onShelf.Store(int64(len(s.isolation.shelf.rows)))
				break
			}
		}
	}
	return b.records, nil
}

// resend hands parked rows to the sink again, those that may go now, and returns them. ok is
// false if the session has to end.
func (s *session) resend(ctx context.Context, records []*Record) (sent []*Record, ok bool) {
	sent = s.isolation.sendable(ctx, records)
	return sent, s.handOver(ctx, sent)
}

// lockedRest is how long the rows of a lane wait on the shelf after one of them could not be
// parked, because somebody has locked it.
const lockedRest = time.Second

// parkLater puts rows on the shelf that are to be parked and cannot be now: nothing of their
// lanes passes them there, and the other lanes go on.
func (s *session) parkLater(ctx context.Context, records []*Record, err error) {
	for _, r := range records {
		r.lane.rest = time.Now().Add(lockedRest)
	}
	s.isolation.shelve(records)
	ctx, cancel := context.WithTimeout(ctx, s.relay.cfg.answerTimeout)
	defer cancel()
	s.relay.health.paused(partParking,
		fmt.Errorf("rows of %s that are to be parked are locked by another transaction, "+
			"which may be %s: end that session: %w", s.relay.store.Table(), s.deleter.lockers(ctx), err))
}
