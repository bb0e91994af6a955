package world

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/postroom/postroom/examples/shop/gateway/page"
	"github.com/postroom/postroom/examples/shop/rules"
)

// downtime is how long the gateway stays down when the page kills it. Somebody has to show the page again.
const downtime = 3 * time.Second

// A rule that is on again is repaired so many times, with so much time in between.
const (
	repairs     = 5
	repairEvery = 3 * time.Second
)

// docs is where the pages of the patterns can be read.
const docs = "https://github.com/postroom/postroom/blob/main/"

// about says what each part does, in the words of the page.
var about = map[string]string{
	"customers": "owns names and e-mail addresses", "gateway": "owns the read model and the caches; serves this page",
	"notifications": "owns the e-mails", "orders": "owns the orders, over several databases",
	"payments": "owns accounts and payments", "relays": "carry events from the outboxes to Kafka and RabbitMQ",
	"stock": "owns articles and reservations",
}

// controls is the world as the page knows it: things that can be switched on and off.
type controls struct{ w *World }

// Switches tells how everything is.
func (c controls) Switches() (all []page.Switch) {
	w := c.w
	all = append(all, page.Switch{Name: "flow", Group: page.Flow, Title: "Orders flow", On: w.crowd.flows.Load()})
	for _, p := range w.Parts() {
		all = append(all, page.Switch{
			Name: p.Name, Group: page.Services, Title: p.Name, Sentence: about[p.Name], On: p.Running,
		})
	}
	for _, name := range []string{"Kafka", "RabbitMQ", "Redis"} {
		s := page.Switch{Name: name, Group: page.Brokers, Title: name, On: true}
		if b := w.broker(name); b != nil {
			s.On, s.Sentence = b.running(), "in this process; it keeps what it has"
		} else {
			s.Missing = "It is a server of yours: stop it yourself."
		}
		all = append(all, s)
	}
	for _, f := range w.allFaults() {
		all = append(all, page.Switch{
			Name: f.name, Group: page.Faults, Title: f.title, Sentence: f.sentence, On: f.on.Load(),
		})
	}
	for _, r := range rules.Infos() {
		all = append(all, page.Switch{
			Name: string(r.Rule), Group: page.Rules, Title: r.Title, Sentence: r.Sentence, On: w.rules.On(r.Rule),
			Protects: r.Protects, Without: r.Without, Docs: docs + r.Page,
		})
	}
	return all
}

// fault is something that goes wrong all the time while it is on.
type fault struct {
	name, title, sentence string
	on                    *atomic.Bool
}

func (w *World) allFaults() []fault {
	return []fault{
		{"reject-payments", "Reject payments",
			"Payments rejects every order. Each one gives its articles back.", &w.reject},
		{"duplicate", "Duplicate deliveries",
			"Each event arrives twice. The inbox drops the copy.", &w.faults.Duplicate},
		{"reorder", "Reorder deliveries", "Events of different orders change places. Each order keeps its own order.",
			&w.faults.Reorder},
	}
}

// Set switches one of the Switches.
func (c controls) Set(ctx context.Context, name string, on bool) error {
	w := c.w
	if name == "flow" {
		w.crowd.flows.Store(on)
		return nil
	}
	if name == "gateway" && !on {
		w.background(func(ctx context.Context) {
			p := w.part(name)
			p.stop()
			select {
			case <-time.After(downtime):
				p.resume(ctx)
			case <-ctx.Done():
			}
		})
		return nil
	}
	if w.part(name) != nil || w.broker(name) != nil {
		return c.run(ctx, name, on)
	}
	for _, f := range w.allFaults() {
		if f.name == name {
			f.on.Store(on)
			return nil
		}
	}
	return w.setRule(rules.Rule(name), on)
}

// run starts or stops a part or a broker. It waits a moment, so that the page that comes back shows it as it is then.
func (c controls) run(ctx context.Context, name string, on bool) error {
	ended := make(chan error, 1)
	c.w.background(func(ctx context.Context) {
		switch p := c.w.part(name); {
		case p == nil:
			ended <- c.w.broker(name).set(on)
		case on:
			p.resume(ctx)
			ended <- nil
		default:
			p.stop()
			ended <- nil
		}
	})
	select {
	case err := <-ended:
		return err
	case <-time.After(2 * time.Second): // it is still about to stop
	case <-ctx.Done():
	}
	return nil
}

// setRule switches a rule. When it is on again, what went wrong meanwhile is repaired: as often as it takes, because
// what was sent in the naive way may still be on its way.
func (w *World) setRule(r rules.Rule, on bool) error {
	if err := w.rules.Set(r, on); err != nil {
		return fmt.Errorf("there is no switch %q", r)
	}
	if !on {
		return nil
	}
	w.background(func(ctx context.Context) {
		for range repairs {
			if err := w.Repair(ctx, r); err != nil && ctx.Err() == nil {
				w.log.Warn("cannot repair; is tried again", "rule", r, "error", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(repairEvery):
			}
			if !w.rules.On(r) {
				return
			}
		}
	})
	return nil
}

// PlaceOrder places an order.
func (c controls) PlaceOrder(ctx context.Context) (id string, err error) { return c.w.crowd.place(ctx) }
