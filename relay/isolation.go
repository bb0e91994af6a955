package relay

import (
	"context"
	"sync/atomic"
	"time"
)

// isolation keeps what delays some records from delaying the others. Records of a lane that
// is full or not ready, and of a topic on trial, go to the shelf and come back later.
type isolation struct {
	relay    *Relay
	inFlight *inFlightSet

	sinkLanes     Lanes // the sink's session, if it knows lanes; else nil
	transactional bool  // a batch is accepted or rejected as a whole

	lanes      laneSet
	shelf      shelf
	onShelf    atomic.Int64 // rows on the shelf
	shelfDue   time.Time    // when to look at the shelf again
	trials     *trials
	trialsFrom time.Time // when the next group of a trial may be sent: after a rejection the other topics go first
}

func newIsolation(r *Relay, flights *inFlightSet) *isolation {
	return &isolation{relay: r, inFlight: flights, lanes: newLaneSet(), trials: newTrials()}
}

// holdBack puts those records on the shelf that must not go yet: their topic is on trial,
// earlier rows of their lane are on the shelf, or the lane is not ready. It returns the others.
func (i *isolation) holdBack(ctx context.Context, records []*Record) []*Record {
	if i.sinkLanes != nil {
		i.sinkLanes.Learn(ctx, records)
	}
	if len(i.lanes.lanes) >= i.lanes.prune {
		i.pruneLanes() // now, that no record has a lane
	}
	i.lanes.pass++
	var back []*Record
	kept := records[:0]
	for _, r := range records {
		l := i.laneOf(r)
		r.lane = l
		if l.pass != i.lanes.pass {
			l.pass, l.over = i.lanes.pass, l.shelved > 0 || l.topic.trial != nil || !i.ready(l)
		}
		if l.over {
			back = append(back, r)
		} else {
			kept = append(kept, r)
		}
	}
	i.shelve(back)
	return kept
}

// shelve puts records on the shelf.
func (i *isolation) shelve(records []*Record) {
	i.shelf.add(records)
	i.onShelf.Store(int64(len(i.shelf.rows)))
}

func (i *isolation) roomIn(l *lane, rows int, bytes int64) bool {
	i.inFlight.mu.Lock()
	defer i.inFlight.mu.Unlock()
	if l.drain && l.waiting == 0 {
		l.drain = false
	}
	return !l.drain && !l.full(rows, bytes)
}

// ready reports whether the sink wants records of the lane now.
func (i *isolation) ready(l *lane) bool {
	if !l.rest.IsZero() && time.Now().Before(l.rest) {
		return false
	}
	return i.sinkLanes == nil || i.sinkLanes.Ready(l.topic.name, l.number)
}

// split takes from records those whose lanes are full: a lane may hold as much of the
// window as it leaves free for the others. So one that stands still takes half of it at
// most, and n of them leave one part of n+1. A lane that moves is judged by what it held
// before these records, for it empties while they come.
func (i *isolation) split(records []*Record) (fit, over []*Record) {
	i.lanes.pass++
	f := i.inFlight
	f.mu.Lock()
	defer f.mu.Unlock()
	rows, bytes := i.relay.cfg.MaxInFlight-len(f.byID), i.relay.cfg.MaxInFlightBytes-f.bytes
	for at, r := range records {
		l := r.lane
		switch {
		case l.pass != i.lanes.pass:
			l.pass, l.over, l.moves, l.moved = i.lanes.pass, l.full(rows, bytes), l.moved, false
			l.came, l.cameBytes = 0, 0
		case !l.over && !l.moves:
			l.over = fills(l.waiting+l.came, l.bytes+l.cameBytes, rows, bytes)
		}
		if l.over {
			if over == nil {
				over = make([]*Record, 0, len(records)-at)
				fit = append(make([]*Record, 0, len(records)), records[:at]...)
			}
			over = append(over, r)
			continue
		}
		size := recordSize(r)
		l.came, l.cameBytes = l.came+1, l.cameBytes+size
		rows, bytes = rows-1, bytes-size
		if over != nil {
			fit = append(fit, r)
		}
	}
	if over == nil {
		return records, nil
	}
	return fit, over
}

// laneOf returns the lane that r goes.
func (i *isolation) laneOf(r *Record) *lane {
	number := int32(0)
	if i.sinkLanes != nil {
		number = i.sinkLanes.Lane(r)
	}
	if last := i.lanes.last; last != nil && last.number == number && last.topic.name == r.Topic {
		return last
	}
	key := laneKey{r.Topic, number}
	l := i.lanes.lanes[key]
	if l == nil {
		l = &lane{topic: i.topicOf(r.Topic), number: number}
		i.lanes.lanes[key] = l
	}
	i.lanes.last = l
	return l
}

func (i *isolation) topicOf(name string) *topicState {
	t := i.lanes.topics[name]
	if t == nil {
		t = &topicState{name: name, trial: i.trials.topics[name]}
		i.lanes.topics[name] = t
	}
	return t
}

// pruneLanes forgets the lanes of which nothing is with the sink or on the shelf: names
// of topics are without number.
func (i *isolation) pruneLanes() {
	f := i.inFlight
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, l := range i.lanes.lanes {
		if l.waiting == 0 && l.shelved == 0 {
			delete(i.lanes.lanes, key)
		}
	}
	for name, t := range i.lanes.topics {
		if t.waiting == 0 && t.shelved == 0 && t.trial == nil {
			delete(i.lanes.topics, name)
		}
	}
	i.lanes.last = nil
	i.lanes.prune = max(pruneLanes, 2*len(i.lanes.lanes))
}

// sendable takes the records that may go now: of topics on trial the next group, and none
// of lanes that are not ready.
func (i *isolation) sendable(ctx context.Context, records []*Record) []*Record {
	if i.sinkLanes != nil {
		i.sinkLanes.Learn(ctx, records)
	}
	i.lanes.pass++
	byTopic := make(map[*topicState][]*Record)
	send := make([]*Record, 0, len(records))
	for _, r := range records {
		r.lane = i.laneOf(r)
		if l := r.lane; l.pass != i.lanes.pass {
			l.pass, l.over = i.lanes.pass, !i.ready(l)
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
		if i.inFlight.waitingOf(topic) == 0 && !time.Now().Before(i.trialsFrom) {
			topic.trial.settle()
			send = append(send, waiting[:topic.trial.group(waiting, i.transactional)]...)
		}
	}
	return send
}
