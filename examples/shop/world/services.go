package world

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/postroom/postroom/examples/shop/customers"
	"github.com/postroom/postroom/examples/shop/gateway"
	"github.com/postroom/postroom/examples/shop/gateway/cache"
	"github.com/postroom/postroom/examples/shop/gateway/page"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/notifications"
	"github.com/postroom/postroom/examples/shop/orders"
	"github.com/postroom/postroom/examples/shop/orders/shards"
	"github.com/postroom/postroom/examples/shop/payments"
	"github.com/postroom/postroom/examples/shop/relays"
	"github.com/postroom/postroom/examples/shop/rules"
	"github.com/postroom/postroom/examples/shop/stock"
	"github.com/postroom/postroom/examples/shop/trace"
)

// Settings are what a service needs to run. Not every service needs all of them.
type Settings struct {
	Name     string // one of Services
	Database string // the URL of its database
	Sources  []relays.Source
	// OldShards is for orders: how many of its databases there were before the last ones were added, while customers
	// still have to move to those. 0: all.
	OldShards int
	Lease     time.Duration // of relays: see relays.Config
	Timeout   time.Duration // of a step of the saga: see orders.Config
	Kafka     kit.Kafka
	Mails     kit.Mails
	Redis     string            // host:port
	Services  map[string]string // their addresses, host:port
	Rules     *rules.Switches   // nil: all are on
	Faults    *relays.Faults    // of the relays; nil: none

	// What the page of the gateway shows and changes, if all of the shop is in this process. All may be nil.
	RejectPayments *atomic.Bool
	Controls       page.Controls
	Invariants     func(context.Context) ([]page.Invariant, error)
	Trace          func(ctx context.Context, order string) ([]trace.Event, error)

	Log *slog.Logger
}

// Service is an open service. Run it, serve its Handler, and Close it when both have ended.
type Service struct {
	Run     func(ctx context.Context) error
	Handler http.Handler
	Close   func() error
}

// opener opens a service. What it opens it adds to closers, also if it fails.
type opener func(ctx context.Context, s Settings, closers *closers) (Service, error)

var openers = map[string]opener{
	"customers": openCustomers, "stock": openStock, "payments": openPayments, "notifications": openNotifications,
	"orders": openOrders, "relays": openRelays, "gateway": openGateway,
}

// Services are the names of all services.
func Services() []string { return slices.Sorted(maps.Keys(openers)) }

// Open opens the service s.Name. It is what a process of the shop consists of.
func Open(ctx context.Context, s Settings) (Service, error) {
	open, found := openers[s.Name]
	if !found {
		return Service{}, fmt.Errorf("there is no service %q: want one of %v", s.Name, Services())
	}
	var closers closers
	service, err := open(ctx, s, &closers)
	if err != nil {
		return Service{}, errors.Join(err, closers.close())
	}
	service.Close = closers.close
	return service, nil
}

type closers []func() error

func (c *closers) add(f func() error) { *c = append(*c, f) }

// close closes the last first.
func (c *closers) close() (err error) {
	for i := len(*c) - 1; i >= 0; i-- {
		err = errors.Join(err, (*c)[i]())
	}
	return err
}

func openDatabase(ctx context.Context, url string, closers *closers) (*kit.DB, error) {
	db, err := kit.Open(ctx, url)
	if err == nil {
		closers.add(db.Close)
	}
	return db, err
}

func openCustomers(ctx context.Context, s Settings, closers *closers) (Service, error) {
	db, err := openDatabase(ctx, s.Database, closers)
	if err != nil {
		return Service{}, err
	}
	service, err := customers.New(ctx, db, s.Kafka)
	if err != nil {
		return Service{}, err
	}
	service.Rules = s.Rules
	// It consumes nothing: there are requests alone.
	idle := func(ctx context.Context) error { <-ctx.Done(); return nil }
	return Service{Run: idle, Handler: service.Handler()}, nil
}

func openStock(ctx context.Context, s Settings, closers *closers) (Service, error) {
	db, err := openDatabase(ctx, s.Database, closers)
	if err != nil {
		return Service{}, err
	}
	service, err := stock.New(ctx, db, s.Kafka, s.Log)
	if err != nil {
		return Service{}, err
	}
	service.Rules = s.Rules
	return Service{Run: service.Run, Handler: service.Handler()}, nil
}

func openPayments(ctx context.Context, s Settings, closers *closers) (Service, error) {
	db, err := openDatabase(ctx, s.Database, closers)
	if err != nil {
		return Service{}, err
	}
	service, err := payments.New(ctx, db, s.Kafka, s.Log)
	if err != nil {
		return Service{}, err
	}
	if s.RejectPayments != nil {
		service.RefuseAll = s.RejectPayments
	}
	return Service{Run: service.Run, Handler: service.Handler()}, nil
}

func openNotifications(ctx context.Context, s Settings, closers *closers) (Service, error) {
	db, err := openDatabase(ctx, s.Database, closers)
	if err != nil {
		return Service{}, err
	}
	service, err := notifications.New(ctx, db, s.Kafka, s.Mails, s.Log)
	if err != nil {
		return Service{}, err
	}
	service.Rules = s.Rules
	return Service{Run: service.Run, Handler: service.Handler()}, nil
}

// openOrders opens all shards. Their names in Sources are for ever: who lives where depends on them.
func openOrders(ctx context.Context, s Settings, closers *closers) (Service, error) {
	config := orders.Config{
		OldShards: s.OldShards, Kafka: s.Kafka, Timeout: s.Timeout, Rules: s.Rules, Logger: s.Log,
	}
	for _, source := range s.Sources {
		if !source.Mails {
			continue // a database of another service
		}
		db, err := openDatabase(ctx, source.URL, closers)
		if err != nil {
			return Service{}, fmt.Errorf("shard %s: %w", source.Name, err)
		}
		config.Shards = append(config.Shards, shards.Shard{Name: source.Name, DB: db})
	}
	service, err := orders.New(ctx, config)
	if err != nil {
		return Service{}, err
	}
	return Service{Run: service.Run, Handler: service.Handler()}, nil
}

func openRelays(ctx context.Context, s Settings, closers *closers) (Service, error) {
	service, err := relays.New(ctx, relays.Config{
		Sources: s.Sources, Kafka: s.Kafka, Mails: s.Mails, Lease: s.Lease, Faults: s.Faults, Rules: s.Rules,
		Logger: s.Log,
	})
	if err != nil {
		return Service{}, err
	}
	closers.add(service.Close)
	return Service{Run: service.Run, Handler: &kit.Mux{}}, nil
}

func openGateway(ctx context.Context, s Settings, closers *closers) (Service, error) {
	db, err := openDatabase(ctx, s.Database, closers)
	if err != nil {
		return Service{}, err
	}
	redis := cache.Connect(s.Redis)
	closers.add(redis.Close)
	service, err := gateway.New(ctx, gateway.Config{
		DB: db, Kafka: s.Kafka, Redis: redis, Rules: s.Rules, Logger: s.Log,
		Controls: s.Controls, Invariants: s.Invariants, Trace: s.Trace,
		Services: gateway.Services{
			Orders: "http://" + s.Services["orders"], Stock: "http://" + s.Services["stock"],
			Payments: "http://" + s.Services["payments"], Customers: "http://" + s.Services["customers"],
		},
	})
	if err != nil {
		return Service{}, err
	}
	return Service{Run: service.Run, Handler: service.Handler()}, nil
}
