package driver

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/postroom/postroom/examples/shop/events"
)

// What there is at the beginning. Nothing of it is used up but what is scarce.
const (
	plenty      = 10_000_000 // pieces of an article
	scarce      = 30
	richCents   = 1_000_000_000
	poorCents   = 1_000
	everyScarce = 10 // each tenth article and customer
)

// deliver brings an article into stock.
func (d *Driver) deliver(ctx context.Context, number int) error {
	quantity := plenty
	if number%everyScarce == everyScarce-1 {
		quantity = scarce
	}
	return d.must(ctx, http.MethodPost, d.cfg.Stock+"/items/"+sku(number)+"/deliveries",
		map[string]int{"quantity": quantity}, nil)
}

// join makes a new customer, who has money.
func (d *Driver) join(ctx context.Context, number int) error {
	var made struct {
		ID string `json:"id"`
	}
	if err := d.must(ctx, http.MethodPost, d.cfg.Gateway+"/customers", map[string]string{
		"name": fmt.Sprintf("Customer %d", number), "email": fmt.Sprintf("customer-%d@example.org", number),
	}, &made); err != nil {
		return err
	}
	cents := richCents
	if number%everyScarce == everyScarce-1 {
		cents = poorCents
	}
	if err := d.must(ctx, http.MethodPost, d.cfg.Payments+"/accounts/"+made.ID+"/deposits",
		map[string]int{"cents": cents}, nil); err != nil {
		return err
	}
	if err := d.firstOrder(ctx, made.ID); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.customers = append(d.customers, made.ID)
	return nil
}

// firstOrder orders something as soon as orders has heard of a new customer.
func (d *Driver) firstOrder(ctx context.Context, customer string) error {
	r := request{
		method: http.MethodPost, url: d.cfg.Gateway + "/orders", key: uuid.NewString(), body: map[string]any{
			"customer": customer, "items": []events.Item{{SKU: sku(0), Quantity: 1}}, "flow": events.Orchestrated,
		},
	}
	d.count(func(c *Counts) { c.Placed++ })
	for {
		a, err := d.send(ctx, r)
		if err != nil {
			return err
		}
		var of events.Of
		if a.status == http.StatusAccepted && a.into(&of) == nil {
			d.promise(of)
			return nil
		}
		if a.status != http.StatusUnprocessableEntity {
			return d.unexpected(ctx, r, a)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// must sends a request that makes something, and reads the answer.
func (d *Driver) must(ctx context.Context, method, url string, body, into any) error {
	r := request{method: method, url: url, body: body, key: uuid.NewString()}
	a, err := d.send(ctx, r)
	if err != nil {
		return err
	}
	if a.status != http.StatusCreated {
		return d.unexpected(ctx, r, a)
	}
	if into == nil {
		return nil
	}
	return a.into(into)
}

// customer is one of the customers.
func (w *worker) customer() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.customers[w.rng.IntN(len(w.customers))]
}

func (w *worker) changeCustomer(ctx context.Context) {
	r := request{
		method: http.MethodPatch, url: w.cfg.Gateway + "/customers/" + w.customer(),
		body: map[string]string{"name": fmt.Sprintf("Customer %08x", w.rng.Uint32())},
	}
	a, err := w.send(ctx, r)
	switch {
	case err != nil:
	case a.status == http.StatusOK:
		w.count(func(c *Counts) { c.Customers++ })
	case a.status != http.StatusGone:
		_ = w.unexpected(ctx, r, a) // counted
	}
}

// erase has a customer erased. A new one takes the place.
func (w *worker) erase(ctx context.Context) {
	id := w.customer()
	w.mu.Lock()
	w.customers = slices.DeleteFunc(w.customers, func(c string) bool { return c == id && len(w.customers) > 1 })
	w.mu.Unlock()
	r := request{method: http.MethodDelete, url: w.cfg.Gateway + "/customers/" + id}
	a, err := w.send(ctx, r)
	switch {
	case err != nil:
		return
	case a.status == http.StatusOK || a.status == http.StatusGone && a.again:
		w.count(func(c *Counts) { c.Erased++ })
	case a.status != http.StatusGone:
		_ = w.unexpected(ctx, r, a) // counted
	}
	_ = w.join(ctx, w.rng.IntN(1000)) // counted
}
