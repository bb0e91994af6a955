package demo

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/postroom/postroom/internal/history"
)

// Check is one property that must hold at the end.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// checks returns the result of each check. Each check looks for one kind of fault, so that the check which
// names a fault also finds it.
func (f facts) checks() []Check {
	deliveries, invoices := judge(f.orders, f.delivered), judge(f.orders, f.invoices)
	return []Check{
		f.outboxIsEmpty(),
		f.everyOrderIsDelivered(deliveries),
		everyOrderHasOneInvoice(invoices),
		nothingElseExists(deliveries, invoices),
		f.rolledBackIsNowhere(),
		f.inOrder("the topic has every customer's orders in their order", f.delivered),
		f.inOrder("billing made every customer's invoices in their order", f.invoices),
		f.everyCopyIsDropped(),
	}
}

// judge compares the orders that arrived, as messages or invoices, with the orders that were written.
func judge(written, arrived []order) history.Findings {
	events, arrivals := make([]history.Event, len(written)), make([]history.Arrival, len(arrived))
	for i, o := range written {
		events[i] = o.fact()
	}
	for i, o := range arrived {
		arrivals[i] = history.Arrival{Event: o.fact(), Offset: int64(i)}
	}
	return history.Check(events, arrivals)
}

// fact is the order as the history checker knows it. It includes the order's content, because a message that
// was changed on the way is not the order that the shop wrote.
func (o order) fact() history.Event {
	e := history.Event{Topic: topic, Key: o.Customer, Version: o.Nth, Sum: uint32(o.Cents)}
	binary.BigEndian.PutUint64(e.ID[:], uint64(o.ID))
	return e
}

// check returns a Check that is OK if there are no faults.
func check(name string, faults int, found string) Check {
	return Check{Name: name, OK: faults == 0, Detail: found}
}

func (f facts) outboxIsEmpty() Check {
	return check("the outbox is empty", f.waiting, fmt.Sprintf("%s events wait in it", number(int64(f.waiting))))
}

func (f facts) everyOrderIsDelivered(deliveries history.Findings) Check {
	missing := deliveries.Count(history.Lost)
	return check("every committed order is in the topic", missing,
		fmt.Sprintf("%s of %s", number(int64(len(f.orders)-missing)), number(int64(len(f.orders)))))
}

func everyOrderHasOneInvoice(invoices history.Findings) Check {
	none, more := invoices.Count(history.Lost), invoices.Count(history.Duplicates)
	return check("every committed order has one invoice", none+more,
		fmt.Sprintf("%s without one, %s invoices too many", number(int64(none)), number(int64(more))))
}

func nothingElseExists(deliveries, invoices history.Findings) Check {
	strange := func(f history.Findings) int { return f.Count(history.Uncommitted) + f.Count(history.Altered) }
	return check("no message and no invoice is of anything else", strange(deliveries)+strange(invoices),
		fmt.Sprintf("%s messages, %s invoices", number(int64(strange(deliveries))), number(int64(strange(invoices)))))
}

func (f facts) rolledBackIsNowhere() Check {
	there := 0
	for _, place := range []map[int64]int{byID(f.orders), byID(f.delivered), byID(f.invoices)} {
		for _, o := range f.rolledBack {
			there += min(1, place[o.ID])
		}
	}
	return check("no order that was rolled back is anywhere", there,
		fmt.Sprintf("%s rolled back, %s found", number(int64(len(f.rolledBack))), number(int64(there))))
}

// inOrder checks the order of the first copies, because later copies may repeat earlier orders. It also looks
// at an order that was rolled back and arrived nevertheless, because the number of that order was used again.
// Missing orders are found by the other checks.
func (f facts) inOrder(name string, arrived []order) Check {
	wrong := judge(slices.Concat(f.orders, f.rolledBack), arrived).Count(history.FirstOutOfOrder)
	return check(name, wrong, fmt.Sprintf("%s of %s too late", number(int64(wrong)), number(int64(len(byID(arrived))))))
}

func (f facts) everyCopyIsDropped() Check {
	wrong := f.counts.Copies - f.counts.Dropped
	return check("every copy that billing got was dropped", int(wrong),
		fmt.Sprintf("%s copies, %s dropped", number(f.counts.Copies), number(f.counts.Dropped)))
}

func byID(orders []order) map[int64]int {
	n := make(map[int64]int, len(orders))
	for _, o := range orders {
		n[o.ID]++
	}
	return n
}
