package invariants

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/orders/eventstore"
	"github.com/postroom/postroom/examples/shop/orders/order"
	"github.com/postroom/postroom/examples/shop/orders/saga"
)

// stream is an order as its stream of events tells it: the truth that the other services are compared with.
type stream struct {
	order.Order
	shard string
	mails map[string]int64 // how many e-mails of each kind the events ask for
	step  saga.Step        // of the saga; empty: there is none
	fault string           // what is wrong with the stream; empty: nothing

	head   int64 // the version that order_streams has; 0: it has none
	atRest bool  // what order_streams says of it
}

// books are the streams of all shards. A check reads them once.
type books struct {
	streams map[string]*stream // by order id
	twice   []string           // orders that more than one shard has
	erased  map[string]bool    // customers
}

func (a *Auditor) readBooks(ctx context.Context) (*books, error) {
	b := &books{streams: map[string]*stream{}, erased: map[string]bool{}}
	for _, shard := range a.shardNames() {
		streams, err := a.readShard(ctx, shard)
		if err != nil {
			return nil, fmt.Errorf("read the orders: %w", err)
		}
		for id, s := range streams {
			if other := b.streams[id]; other != nil {
				b.twice = append(b.twice, id)
				if other.Version > s.Version {
					continue // the rows compare with the fuller one
				}
			}
			b.streams[id] = s
		}
	}
	const erased = "SELECT id FROM customers WHERE erased_at IS NOT NULL"
	return b, a.each(ctx, "customers", erased, func(scan scanner) error {
		var id string
		err := scan(&id)
		b.erased[id] = true
		return err
	})
}

func (a *Auditor) readShard(ctx context.Context, shard string) (map[string]*stream, error) {
	streams := map[string]*stream{}
	find := func(id string) *stream {
		if streams[id] == nil {
			streams[id] = &stream{shard: shard, mails: map[string]int64{}}
		}
		return streams[id]
	}
	if err := a.each(ctx, shard, "SELECT stream, version, type, body FROM order_events ORDER BY stream, version",
		func(scan scanner) error {
			var id string
			var version int64
			var e eventstore.Event
			if err := scan(&id, &version, &e.Type, &e.Body); err != nil {
				return err
			}
			find(id).add(version, e)
			return nil
		}); err != nil {
		return nil, err
	}
	if err := a.each(ctx, shard, "SELECT stream, customer, version, at_rest FROM order_streams",
		func(scan scanner) error {
			var id, customer string
			var version, atRest int64
			err := scan(&id, &customer, &version, &atRest)
			s := find(id)
			s.head, s.atRest = version, atRest == 1
			if s.Customer != customer && s.fault == "" {
				s.fault = "the customer is not the one in the events"
			}
			return err
		}); err != nil {
		return nil, err
	}
	return streams, a.each(ctx, shard, "SELECT order_id, step FROM order_sagas", func(scan scanner) error {
		var id, step string
		err := scan(&id, &step)
		find(id).step = saga.Step(step)
		return err
	})
}

// add applies the next event of the stream.
func (s *stream) add(version int64, e eventstore.Event) {
	if s.fault == "" && version != s.Version+1 {
		s.fault = fmt.Sprintf("version %d follows %d", version, s.Version)
	}
	after, err := order.Apply(s.Order, e)
	if err != nil && s.fault == "" {
		s.fault = err.Error()
	}
	s.Order = after
	switch e.Type {
	case events.TypeOrderConfirmed:
		s.mails["confirmed"]++
	case events.TypeOrderCancelled:
		s.mails["cancelled"]++
	}
}

// wrong says what is wrong with the stream by itself: a hole, a head or a saga that says something else.
func (s *stream) wrong() string {
	ends := map[order.Status]saga.Step{
		order.Confirmed: saga.Done, order.Cancelled: saga.Undone, order.Stuck: saga.Stuck,
	}
	switch {
	case s.fault != "":
		return s.fault
	case s.head != s.Version:
		return fmt.Sprintf("the head is at %d, the events at %d", s.head, s.Version)
	case s.atRest != s.AtRest():
		return "the head says something else about rest than the events"
	case s.Flow == events.Choreographed && s.step != "":
		return "nobody leads a choreographed order, but there is a saga"
	case s.Flow == events.Orchestrated && s.AtRest() && s.step != ends[s.Status]:
		return fmt.Sprintf("the order is %s, the saga %q", s.Status, s.step)
	}
	return ""
}

// orders compares the orders of all shards with their sagas and with themselves.
func (a *Auditor) orders(_ context.Context, b *books) (Row, error) {
	row := Row{Name: "orders", Reason: "Each order is confirmed, cancelled, or listed as stuck. Its stream has no " +
		"hole, and the saga agrees with it."}
	states, wrong := map[order.Status]int{}, []string(nil)
	for id, s := range b.streams {
		states[s.Status]++
		if what := s.wrong(); what != "" {
			wrong = append(wrong, id+": "+what)
		}
	}
	ended := states[order.Confirmed] + states[order.Cancelled] + states[order.Stuck]
	row.Holds = ended == len(b.streams) && len(wrong) == 0 && len(b.twice) == 0
	row.Figures = fmt.Sprintf("%d orders: %d confirmed, %d cancelled, %d stuck, %d under way; %d are wrong, %d twice%s",
		len(b.streams), states[order.Confirmed], states[order.Cancelled], states[order.Stuck], len(b.streams)-ended,
		len(wrong), len(b.twice), examples(slices.Concat(wrong, b.twice)))
	return row, nil
}

// accepted looks for the orders that clients were promised. An order cannot be there twice in one shard: the stream's
// id is the primary key.
func (a *Auditor) accepted(_ context.Context, b *books) (Row, error) {
	row := Row{Name: "accepted", Reason: "Each order that a client was promised is there, once."}
	ids, lost := a.options.Accepted(), []string(nil)
	for _, id := range ids {
		if b.streams[id] == nil {
			lost = append(lost, id)
		}
	}
	row.Holds = len(lost) == 0 && len(b.twice) == 0
	row.Figures = fmt.Sprintf("%d accepted, %d of them lost, %d are in two shards%s",
		len(ids), len(lost), len(b.twice), examples(slices.Concat(lost, b.twice)))
	return row, nil
}

// StuckOrder is an order whose cancellation failed for good. Repair it with POST /orders/{id}/repair when the cause is
// gone.
type StuckOrder struct{ OrderID, Customer, Reason string }

// Stuck lists the orders that somebody has to look at, by id.
func (a *Auditor) Stuck(ctx context.Context) (stuck []StuckOrder, err error) {
	b, err := a.readBooks(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(b.streams)) {
		if s := b.streams[id]; s.Status == order.Stuck {
			stuck = append(stuck, StuckOrder{OrderID: id, Customer: s.Customer, Reason: s.Reason})
		}
	}
	return stuck, nil
}
