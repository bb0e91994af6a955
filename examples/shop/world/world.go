// Package world runs the whole shop in one process: all services, each with its own database, and the relays. Without
// addresses it needs nothing installed: the databases are SQLite files, and Kafka, RabbitMQ and Redis are in this
// process. Each part can be stopped and started while the others run.
package world

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/provision"
	"github.com/postroom/postroom/examples/shop/relays"
	"github.com/postroom/postroom/examples/shop/rules"
)

// Config says which servers to use. What is empty is made in this process.
type Config struct {
	// PostgresURL and MariaDBURL are administrators' URLs: each service gets a database and a user of its own there.
	// With both, stock and payments are on MariaDB and the others on PostgreSQL.
	PostgresURL, MariaDBURL string
	KafkaBrokers            []string
	AMQPURL                 string
	Redis                   string // host:port

	// Prefix is before the names of all databases and topics: a-z, 0-9 and _. Default: shop_.
	Prefix string
	// Listen is the address of the gateway. Default: a free port of 127.0.0.1.
	Listen string
	Rules  *rules.Switches // of all services; nil: all are on
	Faults *relays.Faults  // of the relays; nil: none
	// AddShardAfter is how long after the start the program adds a fifth database to orders. 0: it does not.
	AddShardAfter time.Duration
	// Rate is how much the customers of package driver do in a second, by themselves. 0: nothing, until somebody
	// switches it on, on the page.
	Rate float64
	Log  *slog.Logger // default: slog.Default()
}

// World is a running shop. Make it with Start, and end it with Close.
type World struct {
	// Databases has the URL of each database, with its password. Kafka and Mails are the brokers.
	Databases map[string]string
	Kafka     kit.Kafka
	Mails     kit.Mails
	Redis     string // host:port

	log     *slog.Logger
	rules   *rules.Switches
	faults  *relays.Faults
	reject  atomic.Bool // all payments
	parts   []*part
	brokers []*broker // those that are inside this process
	crowd   *crowd
	closers []func() error

	adding       sync.Mutex   // of AddShard
	mu           sync.Mutex   // guards Databases while AddShard runs
	oldShards    atomic.Int32 // 0: nobody moves
	makeDatabase func(ctx context.Context, name string) (url string, err error)

	ctx   context.Context // of what runs in the background
	end   context.CancelFunc
	tasks sync.WaitGroup
}

// Start makes the databases, the topics and the brokers, and starts all parts.
func Start(ctx context.Context, cfg Config) (_ *World, err error) {
	cfg.Prefix = cmp.Or(cfg.Prefix, "shop_")
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	w := &World{
		log: cmp.Or(cfg.Log, slog.Default()), rules: cmp.Or(cfg.Rules, &rules.Switches{}),
		faults: cmp.Or(cfg.Faults, &relays.Faults{}),
	}
	w.ctx, w.end = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if err := w.openDatabases(ctx, cfg); err != nil {
		return nil, err
	}
	if err := w.openBrokers(ctx, cfg); err != nil {
		return nil, err
	}
	if err := w.addParts(cfg.Listen); err != nil {
		return nil, err
	}
	w.crowd = newCrowd(w, cfg.Rate)
	for _, p := range w.parts {
		if err := p.start(ctx); err != nil {
			return nil, err
		}
	}
	w.background(w.crowd.run)
	return w, nil
}

// validate rejects databases that outlive their brokers, and brokers that outlive their databases. An event that the
// Kafka of this process has taken is deleted from its outbox, and is lost with the process. Redis has copies alone.
func (cfg Config) validate() error {
	databases := cfg.PostgresURL != "" || cfg.MariaDBURL != ""
	if kafka, rabbitMQ := len(cfg.KafkaBrokers) > 0, cfg.AMQPURL != ""; kafka != databases || rabbitMQ != databases {
		return fmt.Errorf("databases, Kafka and RabbitMQ must be servers together, or all be in this process: "+
			"what only this process has is lost at its end, and the others would count on it "+
			"(addresses are given for databases: %t, Kafka: %t, RabbitMQ: %t)", databases, kafka, rabbitMQ)
	}
	return nil
}

// background runs f until it returns. Close ends its context and waits for it.
func (w *World) background(f func(ctx context.Context)) {
	w.tasks.Go(func() { f(w.ctx) })
}

func (w *World) openDatabases(ctx context.Context, cfg Config) error {
	main := cmp.Or(cfg.PostgresURL, cfg.MariaDBURL)
	if main == "" {
		folder, err := os.MkdirTemp("", "postroom-shop-")
		if err != nil {
			return err
		}
		w.closers = append(w.closers, func() error { return os.RemoveAll(folder) })
		main = "sqlite:" + folder
	}
	w.makeDatabase = func(ctx context.Context, name string) (url string, err error) {
		server := main
		if name == "stock" || name == "payments" {
			server = cmp.Or(cfg.MariaDBURL, main)
		}
		made, err := provision.Make(ctx, server, cfg.Prefix, name)
		return made[name], err
	}
	w.Databases = map[string]string{}
	for _, name := range provision.Databases() {
		var err error
		if w.Databases[name], err = w.makeDatabase(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) openBrokers(ctx context.Context, cfg Config) error {
	// A topic cannot have both _ and . (Kafka's metrics do not tell them apart).
	w.Kafka = kit.Kafka{Brokers: cfg.KafkaBrokers, Prefix: strings.ReplaceAll(cfg.Prefix, "_", "-")}
	if len(cfg.KafkaBrokers) == 0 {
		var err error
		if w.Kafka.Brokers, err = w.startKafka(); err != nil {
			return err
		}
	}
	if err := w.Kafka.CreateTopics(ctx, events.KafkaTopics()...); err != nil {
		return err
	}
	w.Mails = kit.Mails{URL: cfg.AMQPURL}
	if cfg.AMQPURL == "" {
		w.Mails.InProcess = w.startMails()
	}
	w.Redis = cfg.Redis
	if cfg.Redis == "" {
		var err error
		w.Redis, err = w.startRedis()
		return err
	}
	return nil
}

// addParts prepares a part for each service. Each keeps its address when it is stopped and started.
func (w *World) addParts(gatewayAddress string) error {
	addresses, listeners := map[string]string{}, map[string]net.Listener{}
	for _, name := range Services() {
		listen := reserve
		if name == "gateway" && gatewayAddress != "" {
			listen = func() (net.Listener, error) { return net.Listen("tcp", gatewayAddress) }
		}
		listener, err := listen()
		if err != nil {
			return fmt.Errorf("listen for %s: %w", name, err)
		}
		w.closers = append(w.closers, func() error { _ = listener.Close(); return nil }) // if it was never started
		addresses[name], listeners[name] = listener.Addr().String(), listener
	}
	for _, name := range Services() {
		w.parts = append(w.parts, &part{address: addresses[name], listener: listeners[name], settings: Settings{
			Name: name, Database: w.Databases[name], Sources: w.sources(), Kafka: w.Kafka, Mails: w.Mails,
			Redis: w.Redis, Services: addresses, Rules: w.rules, Faults: w.faults, RejectPayments: &w.reject,
			Controls: controls{w}, Invariants: w.look, Trace: w.Trace,
			Log: w.log.With("service", name),
		}})
	}
	return nil
}

// reserve listens at a free address of 127.0.0.1. Its port is below those that systems give to outgoing connections, so
// that none of them takes it while the part is stopped.
func reserve() (listener net.Listener, err error) {
	for range 1000 {
		if listener, err = net.Listen("tcp", fmt.Sprint("127.0.0.1:", 20_000+rand.IntN(12_000))); err == nil {
			return listener, nil
		}
	}
	return nil, err
}

// sources are all outboxes of the shop.
func (w *World) sources() (sources []relays.Source) {
	databases := w.databases()
	for _, name := range append(provision.Databases(), provision.AddedShard) {
		if url := databases[name]; url != "" {
			sources = append(sources, relays.Source{Name: name, URL: url, Mails: strings.HasPrefix(name, "orders_")})
		}
	}
	return sources
}

// Close stops all parts, and removes what Start made in this process. Databases and topics of real servers stay.
func (w *World) Close() (err error) {
	w.end()
	w.tasks.Wait()
	for i := len(w.parts) - 1; i >= 0; i-- {
		w.parts[i].stop()
	}
	for i := len(w.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, w.closers[i]())
	}
	return err
}
