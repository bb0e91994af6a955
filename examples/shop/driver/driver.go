// Package driver is the customers of the shop. They talk HTTP to the gateway, as a browser would; goods and money come
// in at stock and payments themselves. They walk all paths: both flows, articles that run out, customers with too
// little money, changes, cancels before and after an order is confirmed, customers who move house or are erased.
//
// A service that is down stops nobody. A request without an answer is sent again with the same idempotency key until
// there is one, so that what the driver was promised is known exactly: see Promises.
package driver

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Config configures a Driver.
type Config struct {
	Gateway, Stock, Payments string // addresses, such as http://127.0.0.1:8080

	Customers int         // default: 40. Every tenth has too little money.
	Items     int         // default: 20. Every tenth article is scarce.
	Rate      float64     // actions a second, of which most are orders; 0: as fast as the shop answers
	Workers   int         // actions at the same time; default: 8
	Seed      uint64      // decides who does what; ids and keys are new in each run
	Paused    func() bool // is asked before each action at a Rate: true skips it; nil: never
	Log       *slog.Logger
}

// Driver is a crowd of customers. Make it with New.
type Driver struct {
	cfg    Config
	client *http.Client

	mu        sync.Mutex
	customers []string
	counts    Counts
	promises  map[string]*Promise
	accepted  []string // the orders, in the order of the answers
}

// Counts is what the customers did, and what came of it.
type Counts struct {
	Placed     int // orders that were sent
	Accepted   int // of them: the shop said that it will place them
	Rejected   int // of them: the shop said no, for example because the customer was just erased
	Changed    int // orders
	Cancelled  int // wishes to cancel that the shop took
	Customers  int // customers who were changed
	Erased     int // customers who were erased
	Reads      int
	Retries    int // requests that were sent once more, because there was no answer
	Unanswered int // requests that had no answer when Run ended
	Failed     int // requests with an answer that no customer should get
}

// Promise is what the shop has promised for an order.
type Promise struct {
	OrderID, Customer string
	// Note is the last note that the shop took, and Version the version that the order got by it. 0: none.
	Note    string
	Version int64
	// Cancel: the shop took the wish to cancel.
	Cancel bool
}

// New returns a driver that has done nothing yet. Close its idle connections with Close.
func New(cfg Config) *Driver {
	cfg.Customers, cfg.Items = cmp.Or(cfg.Customers, 40), cmp.Or(cfg.Items, 20)
	cfg.Workers = cmp.Or(cfg.Workers, 8)
	cfg.Log = cmp.Or(cfg.Log, slog.Default())
	transport := &http.Transport{MaxIdleConnsPerHost: cfg.Workers, IdleConnTimeout: 10 * time.Second}
	return &Driver{
		cfg: cfg, client: &http.Client{Transport: transport, Timeout: 15 * time.Second},
		promises: map[string]*Promise{},
	}
}

// Close closes the connections, after Run has returned.
func (d *Driver) Close() { d.client.CloseIdleConnections() }

// Prepare makes customers, and gives them goods to buy and money.
func (d *Driver) Prepare(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(d.cfg.Workers)
	for i := range d.cfg.Items {
		group.Go(func() error { return d.deliver(ctx, i) })
	}
	for i := range d.cfg.Customers {
		group.Go(func() error { return d.join(ctx, i) })
	}
	return group.Wait()
}

// Run lets the customers act until ctx ends.
func (d *Driver) Run(ctx context.Context) error {
	turns := make(chan struct{})
	var working sync.WaitGroup
	for number := range d.cfg.Workers {
		w := worker{Driver: d, rng: rand.New(rand.NewPCG(d.cfg.Seed, uint64(number)))}
		working.Go(func() {
			for range turns {
				w.act(ctx)
			}
		})
	}
	d.pace(ctx, turns)
	close(turns)
	working.Wait()
	return nil
}

// pace lets a worker act, as often as Rate says, until ctx ends.
func (d *Driver) pace(ctx context.Context, turns chan<- struct{}) {
	var tick <-chan time.Time
	if d.cfg.Rate > 0 {
		ticker := time.NewTicker(time.Duration(float64(time.Second) / d.cfg.Rate))
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		if tick != nil {
			select {
			case <-tick:
			case <-ctx.Done():
				return
			}
		}
		if tick != nil && d.cfg.Paused != nil && d.cfg.Paused() {
			continue
		}
		select {
		case turns <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}

// Counts returns what happened until now.
func (d *Driver) Counts() Counts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts
}

// Accepted returns the ids of the orders that were accepted.
func (d *Driver) Accepted() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.accepted...)
}

// Promises returns what the shop has promised, by order id.
func (d *Driver) Promises() map[string]Promise {
	d.mu.Lock()
	defer d.mu.Unlock()
	copies := make(map[string]Promise, len(d.promises))
	for id, p := range d.promises {
		copies[id] = *p
	}
	return copies
}

func (d *Driver) count(f func(*Counts)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(&d.counts)
}
