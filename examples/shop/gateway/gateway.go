// Package gateway is the door of the shop. Clients talk to it alone.
//
//   - It answers about orders from the read model (package view), one query where the services would be four calls. If
//     a client needs a version that the model does not have yet, it asks the services (compose.go).
//   - Answers are cached in Redis, at three levels, and none of them is ever old (package cache).
//   - Commands go through to the services that own the data (forward.go).
package gateway

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/postroom/postroom/examples/shop/gateway/cache"
	"github.com/postroom/postroom/examples/shop/gateway/page"
	"github.com/postroom/postroom/examples/shop/gateway/view"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/rules"
	"github.com/postroom/postroom/examples/shop/trace"
)

// Services are the addresses of the services, such as http://127.0.0.1:8081.
type Services struct{ Orders, Stock, Payments, Customers string }

// Config configures a Gateway.
type Config struct {
	DB       *kit.DB // of the read model
	Kafka    kit.Kafka
	Redis    *redis.Client // see cache.Connect
	Cache    cache.Config  // its times; Redis, Prefix and Logger are set here
	Services Services

	// Deadline is how long the services may take to answer a question about an order, all together. What is not there
	// by then is missing from the answer. Default: 500 ms.
	Deadline time.Duration
	// CommandDeadline is how long a service may take to do a command. Default: 10 s.
	CommandDeadline time.Duration
	Transport       http.RoundTripper // to the services; default: http.DefaultTransport

	// Invariants looks at all services, for the page. It may be nil.
	Invariants func(context.Context) ([]page.Invariant, error)
	// Trace follows an order through all services, for the page. It may be nil.
	Trace    func(ctx context.Context, order string) ([]trace.Event, error)
	Controls page.Controls   // the buttons of the page; it may be nil
	Rules    *rules.Switches // of the demonstration; nil: all rules are followed
	Logger   *slog.Logger
}

// Gateway is the service. Make it with New.
type Gateway struct {
	cfg      Config
	view     *view.Model
	cache    *cache.Cache
	composer composer
	page     *page.Page
}

// New makes the tables of the read model.
func New(ctx context.Context, cfg Config) (*Gateway, error) {
	cfg.Deadline = cmp.Or(cfg.Deadline, 500*time.Millisecond)
	cfg.CommandDeadline = cmp.Or(cfg.CommandDeadline, 10*time.Second)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Transport == nil {
		cfg.Transport = http.DefaultTransport
	}
	settings := cfg.Cache
	settings.Redis, settings.Prefix, settings.Logger = cfg.Redis, cfg.Kafka.Prefix+"shop:", cfg.Logger
	settings.Rules = cfg.Rules
	answers, err := cache.New(settings)
	if err != nil {
		return nil, err
	}
	model, err := view.New(ctx, cfg.DB, cfg.Kafka, answers.Raise, cfg.Logger)
	if err != nil {
		return nil, err
	}
	pages, err := page.New(page.Config{
		View: model, Invariants: cfg.Invariants, Controls: cfg.Controls, Trace: cfg.Trace,
	})
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: cfg.Transport}
	calls := composer{services: cfg.Services, client: client, deadline: cfg.Deadline}
	return &Gateway{cfg: cfg, view: model, cache: answers, composer: calls, page: pages}, nil
}

// Run fills the read model and keeps the page live until ctx ends.
func (g *Gateway) Run(ctx context.Context) error { return kit.Run(ctx, g.view.Run, g.page.Run) }

// Handler answers:
//
//	GET    /orders/{id}                an order, of all services; ?min_version=3: at least this version
//	GET    /customers/{id}             a customer
//	GET    /customers/{id}/orders      a page of a customer's orders; ?after=ID&limit=20
//	GET    /orders                     the list of orders; ?status=stuck: those that somebody has to look at
//	POST   /orders, PATCH /orders/{id}, POST /orders/{id}/{command}        go through to orders
//	POST   /customers, PATCH /customers/{id}, DELETE /customers/{id}      go through to customers
//
//	POST   /view/rebuilds              builds the read model again from the topics, and switches to it
//	GET    /view                       how far that is
//	GET    /, /watch/orders/{id}       what happens in the shop, for a browser
//	POST   /control/{what}             its buttons
//
// Each answer has the header X-Request-Id, which the services get as well. Errors are problems (RFC 9457).
func (g *Gateway) Handler() http.Handler {
	mux := &kit.Mux{}
	for _, path := range []string{"GET /{$}", "GET /static/", "GET /watch/", "POST /control/"} {
		mux.Handle(path, g.page)
	}
	mux.HandleFunc("GET /orders/{id}", g.getOrder)
	mux.HandleFunc("GET /customers/{id}/orders", g.getPage)
	mux.HandleFunc("GET /view", g.getView)
	mux.HandleFunc("POST /view/rebuilds", g.rebuildView)
	orders, customers := g.forward(g.cfg.Services.Orders), g.forward(g.cfg.Services.Customers)
	mux.HandleFunc("GET /customers/{id}", g.getCustomer(customers))
	mux.HandleFunc("GET /orders", orders)
	mux.HandleFunc("POST /orders", orders)
	mux.HandleFunc("PATCH /orders/{id}", orders)
	mux.HandleFunc("POST /orders/{id}/{command}", orders)
	mux.HandleFunc("POST /customers", customers)
	mux.HandleFunc("PATCH /customers/{id}", customers)
	mux.HandleFunc("DELETE /customers/{id}", customers)
	return withRequestID(mux)
}
