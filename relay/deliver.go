package relay

import "context"

// How records reach the sink, and how the one that it refuses is found.
//
// A refusal names a batch: in it records are blamed for their neighbours (hazard 12).
// They all become suspects, and a suspect is sent when nothing else is on its way. At
// least once each goes alone: in a batch a later record of its key may be accepted while it
// is refused. In a transaction nothing is, and each one costs a commit, so there the
// suspects go in groups, of half as many as were refused together, until the refused one
// is alone. Only what was refused alone is parked.

// suspects holds, for each record that was refused in company, by the in-flight set's
// ids, how many suspects it may be sent with, itself included.
type suspects map[int64]int

// refused adds records that were refused together, and returns a set of its own: a
// session's tells what it was begun with.
func (s suspects) refused(ids []int64, grouped bool) suspects {
	most := 1
	if grouped {
		most = max(1, len(ids)/2)
	}
	next := make(suspects, len(s)+len(ids))
	for id, n := range s {
		next[id] = n
	}
	for _, id := range ids {
		next[id] = most
	}
	return next
}

// company returns how many records come before the first suspect.
func (s suspects) company(records []*Record) int {
	if len(s) == 0 {
		return len(records)
	}
	for i, r := range records {
		if s[r.flightID()] > 0 {
			return i
		}
	}
	return len(records)
}

// group takes the suspects that go next out of records, of which the first is one. A
// suspect whose key has an earlier record among the rest stays behind it. What is left
// keeps its order.
func (s suspects) group(records []*Record) (group, rest []*Record) {
	most := s[records[0].flightID()]
	if most == 1 {
		return records[:1], records[1:]
	}
	behind := make(map[string]bool)
	for i, r := range records {
		if len(group) == most {
			return group, append(rest, records[i:]...)
		}
		key, n := orderKey(r.Topic, r.Key), s[r.flightID()]
		if n > len(group) && (r.Key == nil || !behind[key]) {
			group, most = append(group, r), min(most, n)
			continue
		}
		rest = append(rest, r)
		behind[key] = true
	}
	return group, rest
}

// deliver hands records to the sink, unless the lease cannot be trusted any more, and
// reports whether it has handed over all. If not, the session must read no more: the
// head has passed the others, and what a further read finds may be of their keys.
func (s *session) deliver(ctx context.Context, records []*Record) bool {
	for len(records) > 0 && ctx.Err() == nil {
		n := s.suspects.company(records)
		if n > 0 {
			if !s.hand(ctx, records[:n]) {
				return false
			}
			records = records[n:]
			continue
		}
		var group []*Record
		group, records = s.suspects.group(records)
		if !s.deliverSuspects(ctx, group) {
			return false
		}
	}
	return len(records) == 0
}

// deliverSuspects sends them with nothing else on its way, and reports whether they were
// delivered.
func (s *session) deliverSuspects(ctx context.Context, group []*Record) bool {
	// A late commit may come while others are with the sink: refused in their company
	// would say nothing about it.
	if !s.waitAlone(ctx) {
		return false
	}
	if len(group) == 1 {
		s.alone = group[0].flightID()
	}
	if !s.hand(ctx, group) || !s.waitAlone(ctx) {
		return false
	}
	s.alone = 0
	for _, r := range group {
		delete(s.suspects, r.flightID())
	}
	return true
}

func (s *session) hand(ctx context.Context, records []*Record) bool {
	if !s.keeper.valid() {
		return false
	}
	s.flights.add(records)
	for _, r := range records {
		s.highest = max(s.highest, r.flightID())
	}
	s.out.Deliver(ctx, records)
	return true
}

// waitAlone waits until the sink has acknowledged all that it was given, and reports
// whether all of it was delivered.
func (s *session) waitAlone(ctx context.Context) bool {
	return s.waitDelivered(ctx, func() bool {
		_, waiting, _ := s.flights.counts()
		return waiting > 0
	})
}

// waitDelivered waits while records are out, and reports whether all were delivered.
func (s *session) waitDelivered(ctx context.Context, out func() bool) bool {
	for {
		if len(s.flights.failures()) > 0 {
			return false
		}
		if !out() {
			return len(s.flights.failures()) == 0
		}
		select {
		case <-s.flights.changed:
		case <-ctx.Done():
			return false
		}
	}
}
