package relays

import (
	"bytes"
	"cmp"
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/postroom/postroom/examples/shop/rules"
	"github.com/postroom/postroom/relay"
)

// Faults do on purpose what every broker and relay does now and then. The shop must be right nevertheless: try it. They
// may be switched while the relays run. nil: none.
type Faults struct {
	Duplicate atomic.Bool // each event is sent twice, with the same event id
	Reorder   atomic.Bool // events of different keys change places; the events of a key stay in order
}

// withFaults returns a sink that publishes to sink what the faults make of the events.
func withFaults(sink relay.Sink, faults *Faults, rules *rules.Switches) relay.Sink {
	if faults == nil {
		faults = &Faults{}
	}
	return faultySink{sink, faults, rules}
}

type faultySink struct {
	relay.Sink
	faults *Faults
	rules  *rules.Switches
}

// Open opens a session of the sink.
func (s faultySink) Open(ctx context.Context, ack relay.Ack) (relay.Session, error) {
	d := &deliveries{faults: s.faults, rules: s.rules, ack: ack, copies: map[*relay.Record]struct{}{}}
	session, err := s.Sink.Open(ctx, d.acknowledge)
	if err != nil {
		return nil, err
	}
	d.session = session
	if all, ok := session.(kafkaSession); ok {
		return laneDeliveries{all, d}, nil
	}
	return d, nil
}

// deliveries is a session that changes what is delivered.
type deliveries struct {
	session relay.Session
	faults  *Faults
	rules   *rules.Switches
	ack     relay.Ack

	mu     sync.Mutex
	copies map[*relay.Record]struct{} // those that the sink has not acknowledged

	workers workers // of the naive way
}

// Deliver publishes the records, and what the faults add to them.
func (d *deliveries) Deliver(ctx context.Context, records []*relay.Record) {
	if d.faults.Reorder.Load() {
		records = reorder(records)
	}
	if !d.rules.On(rules.KeyOrder) {
		records = d.takeSlow(records) // the naive way
	}
	if d.faults.Duplicate.Load() {
		records = d.duplicate(records)
	}
	d.workers.sending.Lock()
	defer d.workers.sending.Unlock()
	d.session.Deliver(ctx, records)
}

// Close closes the session.
func (d *deliveries) Close() {
	d.giveUpSlow()
	d.session.Close()
}

// reorder changes the order of the keys. Sorting is stable, and so the records of a key stay in their order.
func reorder(records []*relay.Record) []*relay.Record {
	records = slices.Clone(records) // the slice is the relay's
	seed := maphash.MakeSeed()      // another order each time
	place := func(r *relay.Record) uint64 { return maphash.Comparable(seed, [2]string{r.Topic, string(r.Key)}) }
	slices.SortStableFunc(records, func(a, b *relay.Record) int { return cmp.Compare(place(a), place(b)) })
	return records
}

// duplicate puts a copy behind each record. A copy has the same event id: that is how consumers know it.
func (d *deliveries) duplicate(records []*relay.Record) []*relay.Record {
	d.mu.Lock()
	defer d.mu.Unlock()
	twice := make([]*relay.Record, 0, 2*len(records))
	for _, r := range records {
		// A record is the relay's again when it is acknowledged, and so the copy shares nothing with it.
		second := &relay.Record{
			ID: r.ID, EventID: r.EventID, Topic: r.Topic, Type: r.Type, CreatedAt: r.CreatedAt,
			Key: bytes.Clone(r.Key), Payload: bytes.Clone(r.Payload), Headers: bytes.Clone(r.Headers),
		}
		d.copies[second] = struct{}{}
		twice = append(twice, r, second)
	}
	return twice
}

// acknowledge tells the relay what became of its records. It knows nothing of the copies: if one of them fails, the
// sink fails what is delivered after it, and the relay opens another session.
func (d *deliveries) acknowledge(r *relay.Record, err error) {
	d.mu.Lock()
	_, isCopy := d.copies[r]
	delete(d.copies, r)
	d.mu.Unlock()
	if !isCopy {
		d.ack(r, err)
	}
}

// kafkaSession is what a session of relaykafka can do besides. It stays visible, so that a partition without a leader
// delays its own events alone.
type kafkaSession interface {
	relay.Revalidator
	relay.OutageReporter
	relay.Lanes
}

type laneDeliveries struct {
	kafkaSession
	deliveries *deliveries
}

// Deliver publishes the records, and what the faults add to them.
func (d laneDeliveries) Deliver(ctx context.Context, records []*relay.Record) {
	d.deliveries.Deliver(ctx, records)
}
