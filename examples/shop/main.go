// Shop is a small shop of six services, each with its own data, and every pattern for data in microservices at work.
//
//	go run ./examples/shop
//
// runs all of it in this process, and needs nothing installed. With addresses (shop -help) it uses your servers.
//
//	shop SERVICE
//
// runs one service as a process of its own: customers, gateway, notifications, orders, payments, relays or stock. It
// gets its addresses from the environment, because a command line can be read by everybody on the machine:
//
//	SHOP_LISTEN          host:port to answer requests on; default: a free port of 127.0.0.1
//	SHOP_DATABASE_URL    the database of the service
//	SHOP_SOURCES         for relays and orders: the databases, as NAME=URL with spaces between them; NAME+mails=URL
//	                     for those with a second outbox
//	SHOP_OLD_SHARDS      for orders, after databases were added at the end of SHOP_SOURCES: how many there were
//	                     before, until all customers have moved (POST /shards/moves)
//	SHOP_KAFKA_BROKERS   host:port[,host:port…]
//	SHOP_PREFIX          before the names of topics; may be empty
//	SHOP_AMQP_URL        RabbitMQ, for notifications and relays
//	SHOP_REDIS_ADDRESS   host:port, for the gateway
//	SHOP_SERVICES        for the gateway: where the services are, as NAME=HOST:PORT with spaces between them
//	SHOP_KAFKA_SESSION   how long a consumer may be silent, as 10s; see kit.Kafka
//	SHOP_TIMEOUT         how long a step of the saga waits for its answer, as 10s
//	SHOP_LEASE           how long a relay may be silent before another takes over, as 5s
//	SHOP_RULES_OFF       rules that are switched off, as inbox,key-order; see package rules
//	SHOP_FAULTS          what relays do wrong for the demonstration: duplicate, reorder or both
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/relays"
	"github.com/postroom/postroom/examples/shop/rules"
	"github.com/postroom/postroom/examples/shop/world"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if len(args) == 1 && !strings.HasPrefix(args[0], "-") {
		return runService(ctx, args[0], getenv, log, out)
	}
	cfg, err := parse(args, getenv, out)
	if err != nil {
		return err
	}
	cfg.Log = log
	return runAll(ctx, cfg, out)
}

// parse reads the flags. Their defaults are the environment variables that the tests use.
func parse(args []string, getenv func(string) string, out io.Writer) (cfg world.Config, err error) {
	flags := flag.NewFlagSet("shop", flag.ContinueOnError)
	flags.SetOutput(out)
	// The defaults are set after the parsing, because the usage would print them with their passwords.
	var brokers string
	addresses := []struct {
		value                *string
		name, variable, what string
	}{
		{&cfg.PostgresURL, "postgres-url", "POSTROOM_TEST_POSTGRES_URL", "an administrator's postgres://… URL"},
		{&cfg.MariaDBURL, "mariadb-url", "POSTROOM_TEST_MARIADB_URL", "an administrator's mysql://… URL"},
		{&brokers, "kafka-brokers", "POSTROOM_TEST_KAFKA_BROKERS", "host:port[,host:port…]"},
		{&cfg.AMQPURL, "amqp-url", "POSTROOM_TEST_AMQP_URL", "RabbitMQ's amqp://… URL"},
		{&cfg.Redis, "redis", "POSTROOM_TEST_REDIS_ADDR", "Redis's host:port"},
	}
	for _, a := range addresses {
		flags.StringVar(a.value, a.name, "", a.what+"; default: $"+a.variable+", or else inside this process")
	}
	flags.StringVar(&cfg.Prefix, "prefix", "shop_", "before the names of databases and topics")
	flags.StringVar(&cfg.Listen, "listen", "127.0.0.1:8080", "where the gateway answers")
	flags.DurationVar(&cfg.AddShardAfter, "add-shard", 0, "after this time, add a fifth database to orders; 0: never")
	flags.Float64Var(&cfg.Rate, "rate", world.DefaultRate, "what the customers do in a second, by themselves")
	quiet := flags.Bool("quiet", false, "the customers do nothing until you let them, on the page")
	alone := flags.Bool("alone", false, "use no server, whatever the environment says")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	if flags.NArg() > 0 {
		return cfg, fmt.Errorf("%q is too much: want `shop [flags]` or `shop SERVICE`", flags.Args())
	}
	for _, a := range addresses {
		if *a.value == "" && !*alone {
			*a.value = getenv(a.variable)
		}
	}
	cfg.KafkaBrokers = split(brokers)
	if *quiet {
		cfg.Rate = 0
	}
	return cfg, nil
}

func split(brokers string) []string {
	return strings.FieldsFunc(brokers, func(r rune) bool { return r == ',' || r == ' ' })
}

func runAll(ctx context.Context, cfg world.Config, out io.Writer) error {
	w, err := world.Start(ctx, cfg)
	if err != nil {
		return err
	}
	for _, part := range w.Parts() {
		fmt.Fprintf(out, "%-14s %s\n", part.Name, part.Address)
	}
	fmt.Fprintf(out, "The shop is open: %s shows it in a browser. Ctrl-C ends it.\n", w.Address("gateway"))
	var adding sync.WaitGroup
	if cfg.AddShardAfter > 0 {
		adding.Go(func() { addShard(ctx, w, cfg.AddShardAfter, out) })
	}
	<-ctx.Done()
	adding.Wait()
	return w.Close()
}

func faults(text string) *relays.Faults {
	var f relays.Faults
	f.Duplicate.Store(strings.Contains(text, "duplicate"))
	f.Reorder.Store(strings.Contains(text, "reorder"))
	return &f
}

// duration reads a variable such as 5s. 0: it is not set.
func duration(getenv func(string) string, name string) (d time.Duration, err error) {
	if text := getenv(name); text != "" {
		if d, err = time.ParseDuration(text); err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
	}
	return d, err
}

func addShard(ctx context.Context, w *world.World, after time.Duration, out io.Writer) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(after):
	}
	if err := w.AddShard(ctx); err != nil {
		fmt.Fprintln(out, "add a database to orders:", err)
		return
	}
	fmt.Fprintln(out, "orders has five databases, and the customers have moved")
}

func runService(ctx context.Context, name string, getenv func(string) string, log *slog.Logger, out io.Writer) error {
	sources, err := relays.ParseSources(getenv("SHOP_SOURCES"))
	if err != nil {
		return fmt.Errorf("SHOP_SOURCES: %w", err)
	}
	services := map[string]string{}
	for _, field := range strings.Fields(getenv("SHOP_SERVICES")) {
		service, address, _ := strings.Cut(field, "=")
		services[service] = address
	}
	oldShards := 0
	if text := getenv("SHOP_OLD_SHARDS"); text != "" {
		if oldShards, err = strconv.Atoi(text); err != nil || oldShards < 1 {
			return fmt.Errorf("SHOP_OLD_SHARDS is %q: want a number of databases", text)
		}
	}
	switches, err := rules.Parse(getenv("SHOP_RULES_OFF"))
	if err != nil {
		return fmt.Errorf("SHOP_RULES_OFF: %w", err)
	}
	session, err := duration(getenv, "SHOP_KAFKA_SESSION")
	if err != nil {
		return err
	}
	lease, err := duration(getenv, "SHOP_LEASE")
	if err != nil {
		return err
	}
	timeout, err := duration(getenv, "SHOP_TIMEOUT")
	if err != nil {
		return err
	}
	service, err := world.Open(ctx, world.Settings{
		Name: name, Database: getenv("SHOP_DATABASE_URL"), Sources: sources, OldShards: oldShards,
		Lease: lease, Timeout: timeout,
		Kafka: kit.Kafka{
			Brokers: split(getenv("SHOP_KAFKA_BROKERS")), Prefix: getenv("SHOP_PREFIX"), Session: session,
		},
		Mails: kit.Mails{URL: getenv("SHOP_AMQP_URL")}, Redis: getenv("SHOP_REDIS_ADDRESS"),
		Services: services, Rules: switches, Faults: faults(getenv("SHOP_FAULTS")), Log: log,
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cmp.Or(getenv("SHOP_LISTEN"), "127.0.0.1:0"))
	if err != nil {
		return errors.Join(err, service.Close())
	}
	fmt.Fprintf(out, "%s http://%s\n", name, listener.Addr())
	return errors.Join(kit.Run(ctx, service.Run, func(ctx context.Context) error {
		return kit.Serve(ctx, listener, service.Handler)
	}), service.Close())
}
