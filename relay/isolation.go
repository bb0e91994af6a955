package relay

import (
	"context"
	"time"

	"github.com/postroom/postroom/relay/internal/inflight"
	"github.com/postroom/postroom/relay/internal/lanes"
)

// isolation keeps records that must wait from delaying the others. Records whose lane is full or not ready,
// and records of a topic on trial, go to the shelf and come back later. It belongs to the goroutine that
// reads.
type isolation struct {
	inFlight *inflight.Set
	maxRows  int // of the window: Config.MaxInFlight
	maxBytes int64

	sinkLanes     Lanes // the sink's session if it knows lanes, or nil
	transactional bool  // a batch is accepted or rejected as a whole

	lanes      *lanes.Set
	shelf      lanes.Shelf
	shelfDue   time.Time // when to look at the shelf again
	trials     *lanes.Trials
	trialsFrom time.Time // when the next group of a trial may be sent: after a rejection the other topics go first
}

func newIsolation(cfg *Config, inFlight *inflight.Set, trials *lanes.Trials) *isolation {
	return &isolation{inFlight: inFlight, maxRows: cfg.MaxInFlight, maxBytes: cfg.MaxInFlightBytes,
		lanes: lanes.NewSet(inFlight, trials), trials: trials}
}

// holdBack puts records on the shelf that must not be sent yet: their topic is on trial, earlier rows of
// their lane are on the shelf, or the lane is not ready. It returns the other records.
func (i *isolation) holdBack(ctx context.Context, records []*Record) []*Record {
	i.lanes.Prune() // no record has a lane at this point
	i.findLanes(ctx, records)
	var back []*Record
	kept := records[:0]
	for _, r := range records {
		l := r.lane
		if i.lanes.First(l) {
			l.Over = l.Shelved > 0 || l.Topic.Trial != nil || !i.ready(l)
		}
		if l.Over {
			back = append(back, r)
		} else {
			kept = append(kept, r)
		}
	}
	i.shelve(back)
	return kept
}

// findLanes sets the records' lanes, and begins a pass over them.
func (i *isolation) findLanes(ctx context.Context, records []*Record) {
	if i.sinkLanes != nil {
		i.sinkLanes.Learn(ctx, records)
	}
	for _, r := range records {
		r.lane = i.laneOf(r)
	}
	i.lanes.BeginPass()
}

// laneOf returns the lane of r.
func (i *isolation) laneOf(r *Record) *lanes.Lane {
	number := int32(0)
	if i.sinkLanes != nil {
		number = i.sinkLanes.Lane(r)
	}
	return i.lanes.Find(r.Topic, number)
}

// ready reports whether the sink accepts records of the lane now.
func (i *isolation) ready(l *lanes.Lane) bool {
	if !l.Rest.IsZero() && time.Now().Before(l.Rest) {
		return false
	}
	return i.sinkLanes == nil || i.sinkLanes.Ready(l.Topic.Name(), l.Number)
}

// shelve puts records on the shelf, and releases their contents.
func (i *isolation) shelve(records []*Record) {
	rows := make([]lanes.Row, len(records))
	for n, r := range records {
		rows[n] = lanes.Row{ID: r.ID, Lane: r.lane}
		r.letGo()
	}
	i.shelf.Add(rows)
}

// split separates records whose lanes have room from records whose lanes are full.
func (i *isolation) split(records []*Record) (fit, over []*Record) {
	i.lanes.BeginPass()
	held, _, heldBytes := i.inFlight.Counts()
	rows, bytes := i.maxRows-held, i.maxBytes-heldBytes
	for at, r := range records {
		size := recordSize(r)
		if i.lanes.Take(r.lane, size, rows, bytes) {
			rows, bytes = rows-1, bytes-size
			if over != nil {
				fit = append(fit, r)
			}
			continue
		}
		if over == nil {
			over = make([]*Record, 0, len(records)-at)
			fit = append(make([]*Record, 0, len(records)), records[:at]...)
		}
		over = append(over, r)
	}
	if over == nil {
		return records, nil
	}
	return fit, over
}

// sendable returns the parked records that may be sent now. Of a topic on trial it returns the next group. It
// returns no record whose lane is not ready.
func (i *isolation) sendable(ctx context.Context, records []*Record) []*Record {
	i.findLanes(ctx, records)
	byTopic := make(map[*lanes.Topic][]*Record)
	send := make([]*Record, 0, len(records))
	for _, r := range records {
		if i.lanes.First(r.lane) {
			r.lane.Over = !i.ready(r.lane)
		}
		switch topic := r.lane.Topic; {
		case r.lane.Over:
		case topic.Trial != nil:
			byTopic[topic] = append(byTopic[topic], r)
		default:
			send = append(send, r)
		}
	}
	for topic, waiting := range byTopic {
		if i.inFlight.WaitingOf(&topic.Load) == 0 && !time.Now().Before(i.trialsFrom) {
			topic.Trial.Settle()
			send = append(send, waiting[:topic.Trial.Group(keysOf(waiting), i.transactional)]...)
		}
	}
	return send
}

func keysOf(records []*Record) [][]byte {
	keys := make([][]byte, len(records))
	for i, r := range records {
		keys[i] = r.Key
	}
	return keys
}
