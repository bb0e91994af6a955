package world

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroom/postroom/examples/shop/driver"
	"github.com/postroom/postroom/examples/shop/rules"
)

// DefaultRate is how much the customers do on the page: so little that a reader can follow it.
const DefaultRate = 2

// crowd is the customers of package driver, who act when the page wants it.
type crowd struct {
	driver *driver.Driver
	flows  atomic.Bool // the customers act
	held   atomic.Bool // for a moment, while somebody looks at the invariants
	turns  atomic.Int64

	preparing sync.Mutex
	prepared  bool
}

func newCrowd(w *World, rate float64) *crowd {
	c := &crowd{}
	c.flows.Store(rate > 0)
	if rate <= 0 {
		rate = DefaultRate
	}
	c.driver = driver.New(driver.Config{
		Gateway: w.Address("gateway"), Stock: w.Address("stock"), Payments: w.Address("payments"),
		Customers: 20, Items: 10, Workers: 2, Rate: rate * hurry, Log: w.log,
		Paused: func() bool { return !c.flows.Load() || c.held.Load() || c.turns.Add(1)%hurry != 0 && !w.ruleOff() },
	})
	return c
}

// hurry is how many times as much the customers do while a rule is off, so that its row turns red within seconds.
const hurry = 5

// ruleOff tells whether a rule is off.
func (w *World) ruleOff() bool {
	return slices.ContainsFunc(rules.All(), func(r rules.Rule) bool { return !w.rules.On(r) })
}

// run lets the customers act until ctx ends. They come to the shop when they are first asked to do something.
func (c *crowd) run(ctx context.Context) {
	defer c.driver.Close()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !c.flows.Load() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	if c.prepare(ctx) == nil {
		_ = c.driver.Run(ctx) // ends without an error
	}
}

// prepare makes the customers, once.
func (c *crowd) prepare(ctx context.Context) error {
	c.preparing.Lock()
	defer c.preparing.Unlock()
	if c.prepared {
		return nil
	}
	err := c.driver.Prepare(ctx)
	c.prepared = err == nil
	return err
}

// place places one order.
func (c *crowd) place(ctx context.Context) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err = c.prepare(ctx); err == nil {
		id, err = c.driver.Place(ctx)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("nobody answered within 10 seconds. Is the gateway, orders or customers stopped?")
	}
	return id, err
}
