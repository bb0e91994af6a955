package demo

import "fmt"

// Check is one thing that must hold in the end.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// checks judges the facts. Each check looks for one kind of fault, so that a fault is
// found by the check that names it.
func (f facts) checks() []Check {
	return []Check{
		f.outboxIsEmpty(),
		f.everyOrderIsDelivered(),
		f.everyOrderHasOneInvoice(),
		f.nothingElseExists(),
		f.rolledBackIsNowhere(),
		inOrder("the topic has every customer's orders in their order", f.delivered),
		inOrder("billing made every customer's invoices in their order", f.invoices),
		f.everyCopyIsDropped(),
	}
}

// check is OK unless there are faults.
func check(name string, faults int, found string) Check {
	return Check{Name: name, OK: faults == 0, Detail: found}
}

func (f facts) outboxIsEmpty() Check {
	return check("the outbox is empty", f.waiting, fmt.Sprintf("%s events wait in it", number(int64(f.waiting))))
}

func (f facts) everyOrderIsDelivered() Check {
	delivered, missing := byID(f.delivered), 0
	for _, o := range f.orders {
		if delivered[o.ID] == 0 {
			missing++
		}
	}
	return check("every committed order is in the topic", missing,
		fmt.Sprintf("%s of %s", number(int64(len(f.orders)-missing)), number(int64(len(f.orders)))))
}

func (f facts) everyOrderHasOneInvoice() Check {
	invoices, none, several := byID(f.invoices), 0, 0
	for _, o := range f.orders {
		switch n := invoices[o.ID]; {
		case n == 0:
			none++
		case n > 1:
			several++
		}
	}
	return check("every committed order has one invoice", none+several,
		fmt.Sprintf("%s without one, %s with more than one", number(int64(none)), number(int64(several))))
}

// nothingElseExists compares whole orders: a message whose content was changed on the
// way is not the order that the shop wrote.
func (f facts) nothingElseExists() Check {
	written := make(map[order]bool, len(f.orders))
	for _, o := range f.orders {
		written[o] = true
	}
	strange := func(orders []order) (n int) {
		for _, o := range orders {
			if !written[o] {
				n++
			}
		}
		return n
	}
	messages, invoices := strange(f.delivered), strange(f.invoices)
	return check("no message and no invoice is of anything else", messages+invoices,
		fmt.Sprintf("%s messages, %s invoices", number(int64(messages)), number(int64(invoices))))
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

// inOrder looks at the first copy of each order: copies may repeat what was before.
// Numbers that are missing are the other checks' business.
func inOrder(name string, orders []order) Check {
	seen, latest, wrong := make(map[int64]bool, len(orders)), make(map[string]int64), 0
	for _, o := range orders {
		if seen[o.ID] {
			continue
		}
		seen[o.ID] = true
		if o.Nth <= latest[o.Customer] {
			wrong++
		}
		latest[o.Customer] = max(latest[o.Customer], o.Nth)
	}
	return check(name, wrong, fmt.Sprintf("%s of %s too late", number(int64(wrong)), number(int64(len(seen)))))
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
