package driver

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/postroom/postroom/examples/shop/events"
)

// worker does one thing after another.
type worker struct {
	*Driver
	rng    *rand.Rand
	recent []string // the last orders that it has placed
}

// remembered is how many of its orders a worker comes back to.
const remembered = 500

// act does one thing. Errors are counted: the next one follows.
func (w *worker) act(ctx context.Context) {
	switch n := w.rng.IntN(1000); {
	case n < 700:
		w.place(ctx)
	case n < 770:
		w.change(ctx)
	case n < 830:
		w.cancel(ctx, w.old())
	case n < 880:
		w.changeCustomer(ctx)
	case n < 888:
		w.erase(ctx)
	case n < 894:
		_ = w.deliver(ctx, w.rng.IntN(w.cfg.Items)) // counted
	default:
		w.read(ctx)
	}
}

// place orders something. One order in twelve is cancelled at once, in the middle of its way.
func (w *worker) place(ctx context.Context) {
	atOnce := w.rng.IntN(12) == 0
	if id := w.order(ctx); id != "" && atOnce {
		w.cancel(ctx, id)
	}
}

// order orders something, and returns the id of the order if the shop accepted it.
func (w *worker) order(ctx context.Context) string {
	flow := events.Orchestrated
	if w.rng.IntN(2) == 0 {
		flow = events.Choreographed
	}
	items := []events.Item{{SKU: sku(w.rng.IntN(w.cfg.Items)), Quantity: 1 + w.rng.Int64N(3)}}
	if w.rng.IntN(3) == 0 {
		items = append(items, events.Item{SKU: sku(w.rng.IntN(w.cfg.Items)), Quantity: 1})
	}
	r := request{
		method: http.MethodPost, url: w.cfg.Gateway + "/orders", key: uuid.NewString(),
		body: map[string]any{"customer": w.customer(), "items": items, "flow": flow},
	}
	w.count(func(c *Counts) { c.Placed++ })
	a, err := w.send(ctx, r)
	if err != nil {
		return ""
	}
	var of events.Of
	switch {
	case a.status == http.StatusUnprocessableEntity: // orders does not know the customer yet, or no longer
		w.count(func(c *Counts) { c.Rejected++ })
		return ""
	case a.status != http.StatusAccepted || a.into(&of) != nil || of.OrderID == "":
		_ = w.unexpected(ctx, r, a) // counted
		return ""
	}
	w.promise(of)
	if w.recent = append(w.recent, of.OrderID); len(w.recent) > remembered {
		w.recent = w.recent[1:]
	}
	if w.rng.IntN(50) == 0 {
		w.placeAgain(ctx, r, of)
	}
	return of.OrderID
}

// Place places one order, after Prepare, and returns its id. It goes on until the shop has accepted an order, or ctx
// ends.
func (d *Driver) Place(ctx context.Context) (id string, err error) {
	w := worker{Driver: d, rng: rand.New(rand.NewPCG(rand.Uint64(), 0))}
	for {
		if id := w.order(ctx); id != "" {
			return id, nil
		}
		select { // orders may not know the customer yet
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// placeAgain sends an order that was accepted once more, as after a lost answer: it must be the same order.
func (w *worker) placeAgain(ctx context.Context, r request, of events.Of) {
	a, err := w.send(ctx, r)
	var second events.Of
	if err == nil && (a.status == http.StatusAccepted || a.status == http.StatusUnprocessableEntity) {
		// 422: the customer was erased meanwhile, and with a move the new shard does not know the key.
		if err = a.into(&second); err != nil || second.OrderID == of.OrderID || second.OrderID == "" {
			return
		}
	}
	if ctx.Err() == nil {
		_ = w.unexpected(ctx, r, a) // counted
	}
}

func (d *Driver) promise(of events.Of) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts.Accepted++
	if d.promises[of.OrderID] == nil {
		d.promises[of.OrderID] = &Promise{OrderID: of.OrderID, Customer: of.Customer}
		d.accepted = append(d.accepted, of.OrderID)
	}
}

// old is an order of this worker. Empty: there is none yet.
func (w *worker) old() string {
	if len(w.recent) == 0 {
		return ""
	}
	return w.recent[w.rng.IntN(len(w.recent))]
}

// change writes a note to an order, if it is still at the version that the customer has seen.
func (w *worker) change(ctx context.Context) {
	id := w.old()
	if id == "" {
		return
	}
	url, note := w.cfg.Gateway+"/orders/"+id, "ring twice, "+uuid.NewString()
	seen, err := w.send(ctx, request{method: http.MethodGet, url: url})
	if err != nil || seen.status == http.StatusNotFound { // it was accepted, and is not placed yet
		return
	}
	r := request{method: http.MethodPatch, url: url, body: map[string]string{"note": note}, match: seen.version}
	a, err := w.send(ctx, r)
	if err != nil {
		return
	}
	var o struct {
		Version int64  `json:"version"`
		Note    string `json:"note"`
	}
	switch {
	case a.status == http.StatusConflict || a.status == http.StatusNotFound:
		return // somebody was faster; or the order is cancelled
	case a.status != http.StatusOK || a.into(&o) != nil || o.Note != note:
		_ = w.unexpected(ctx, r, a) // counted
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts.Changed++
	if p := w.promises[id]; o.Version > p.Version {
		p.Version, p.Note = o.Version, note
	}
}

// cancel cancels an order, whatever its version is.
func (w *worker) cancel(ctx context.Context, id string) {
	if id == "" {
		return
	}
	r := request{method: http.MethodPost, url: w.cfg.Gateway + "/orders/" + id + "/cancel", body: struct{}{}}
	a, err := w.send(ctx, r)
	switch {
	case err != nil:
		return
	case a.status == http.StatusConflict || a.status == http.StatusNotFound:
		return // it is cancelled already, or not placed yet
	case a.status != http.StatusOK:
		_ = w.unexpected(ctx, r, a) // counted
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts.Cancelled++
	w.promises[id].Cancel = true
}

// read looks at something, so that the caches have work.
func (w *worker) read(ctx context.Context) {
	id, customer := w.old(), w.customer()
	urls := []string{"/customers/" + customer, "/customers/" + customer + "/orders", "/orders/" + id}
	if id == "" {
		urls = urls[:2]
	}
	r := request{method: http.MethodGet, url: w.cfg.Gateway + urls[w.rng.IntN(len(urls))]}
	a, err := w.send(ctx, r)
	switch {
	case err != nil:
	case a.status == http.StatusOK, a.status == http.StatusNotFound, a.status == http.StatusGone:
		w.count(func(c *Counts) { c.Reads++ })
	default:
		_ = w.unexpected(ctx, r, a) // counted
	}
}

func sku(i int) string { return fmt.Sprintf("article-%d", i) }
