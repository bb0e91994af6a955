package dialect

import (
	"context"
	"errors"
)

// SentEvents are events that committed transactions have named, with the row ids that
// they had in outbox_events.
type SentEvents struct {
	all    map[Event]bool
	lo, hi int64
}

// Add takes one in.
func (s *SentEvents) Add(e Event) {
	if len(s.all) == 0 {
		s.all, s.lo, s.hi = make(map[Event]bool), e.ID, e.ID
	}
	s.all[e], s.lo, s.hi = true, min(s.lo, e.ID), max(s.hi, e.ID)
}

// Has reports whether e is one of them.
func (s *SentEvents) Has(e Event) bool { return s.all[e] }

// Len is how many there are.
func (s *SentEvents) Len() int { return len(s.all) }

const sentParked = "SELECT seq, id, event_id FROM {outbox_parked} WHERE seq > %s AND seq <= %s AND id BETWEEN %s AND %s"

// SentParked returns those of the parked rows of the next window behind seq after that hold
// one of the events under the same row id: an exactly-once start found that they were
// delivered (hazard replayed-event). It says where to go on; false: there are no more rows. No
// index has the row ids, so it is for many events at a time.
func (r *Relay) SentParked(ctx context.Context, sent *SentEvents, after int64) (found []DeliveredParked, next int64, more bool, err error) {
	end, err := r.windowEnd(ctx, after)
	if err != nil || end == 0 || sent.Len() == 0 {
		return nil, after, false, err
	}
	if found, err = r.findSent(ctx, sent, after, end); err == nil {
		err = r.measure(ctx, found)
	}
	if err != nil {
		return nil, after, false, err
	}
	return found, end, true, nil
}

func (r *Relay) findSent(ctx context.Context, sent *SentEvents, after, end int64) (found []DeliveredParked, err error) {
	rows, err := r.db.QueryContext(ctx, r.parked.sent, after, end, sent.lo, sent.hi)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var seq int64
		var e Event
		if err := rows.Scan(&seq, &e.ID, &e.EventID); err != nil {
			return nil, err
		}
		if sent.Has(e) {
			found = append(found, DeliveredParked{ParkedEvent: ParkedEvent{Seq: seq, EventID: e.EventID}})
		}
	}
	return found, rows.Err()
}
