// Package invariants tells whether the data of all services fit together. It is an auditor: it reads every service's
// database, as no service can, and changes nothing. Repair alone changes something: it is what an operator would do
// after a rule was not followed.
//
// What it finds is only meaningful at rest: while orders are on their way, a payment is for a moment ahead of what
// depends on it. Rest is the first row of the table. Only the row of the caches holds at all times.
//
// A check reads all events of all orders, and a row or two for each order in the other databases. For 20,000 orders in
// SQLite that is about half a second of a processor (BenchmarkCheck): a page can show the table every few seconds.
package invariants

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/examples/shop/gateway/cache"
	"github.com/postroom/postroom/examples/shop/kit"
)

// Row is one thing that must hold.
type Row struct {
	Name    string
	Holds   bool
	Figures string
	Reason  string // what it means, in a sentence
}

// Options say what there is besides the databases.
type Options struct {
	// Kafka is where consumers may have something left to read. Without brokers nobody looks there.
	Kafka kit.Kafka
	// Redis is the address of the caches, host:port. Without it nobody looks there.
	Redis string
	// Accepted returns the ids of the orders that clients were promised. nil: the table has no row about them.
	Accepted func() []string
	// OldShards is how many shards there were before the last ones were added, while customers still move to those.
	// 0: nobody moves.
	OldShards int
}

// Auditor reads the databases. Make it with Open.
type Auditor struct {
	databases map[string]*kit.DB
	options   Options
	kafka     *kadm.Client  // nil: nobody looks there
	redis     *redis.Client // nil: nobody looks there
}

// Open opens the databases, by the names of package provision. The caller calls Close.
func Open(ctx context.Context, urls map[string]string, options Options) (*Auditor, error) {
	a := &Auditor{databases: map[string]*kit.DB{}, options: options}
	for name, url := range urls {
		db, err := kit.Connect(ctx, url)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open %s: %w", name, err), a.Close())
		}
		db.SQL.SetMaxOpenConns(1) // it reads one thing after another
		a.databases[name] = db
	}
	if len(options.Kafka.Brokers) > 0 {
		client, err := kgo.NewClient(kgo.SeedBrokers(options.Kafka.Brokers...))
		if err != nil {
			return nil, errors.Join(err, a.Close())
		}
		a.kafka = kadm.NewClient(client)
	}
	if options.Redis != "" {
		a.redis = cache.Connect(options.Redis)
	}
	return a, nil
}

// Close closes the databases.
func (a *Auditor) Close() (err error) {
	for _, db := range a.databases {
		err = errors.Join(err, db.Close())
	}
	if a.kafka != nil {
		a.kafka.Close()
	}
	if a.redis != nil {
		err = errors.Join(err, a.redis.Close())
	}
	return err
}

// Check looks at everything and returns the table, always in the same order. An error means that it could not look. A
// row about a broker that does not answer does not hold, and says so.
func (a *Auditor) Check(ctx context.Context) (rows []Row, err error) {
	b, err := a.readBooks(ctx)
	if err != nil {
		return nil, err
	}
	checks := []func(context.Context, *books) (Row, error){
		a.rest, a.parked, a.orders, a.money, a.stock, a.paidAndReserved, a.emails,
		a.replica, a.readModels, a.caches, a.shards,
	}
	if a.options.Accepted != nil {
		checks = slices.Insert(checks, 2, a.accepted)
	}
	for _, check := range checks {
		row, err := check(ctx, b)
		if err != nil {
			return nil, fmt.Errorf("check %s: %w", row.Name, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// shardNames are the databases of orders, in the order in which they were added.
func (a *Auditor) shardNames() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(a.databases)) {
		if strings.HasPrefix(name, "orders_") {
			names = append(names, name)
		}
	}
	return names
}

// scanner reads a row of a query.
type scanner func(into ...any) error

// each runs a query in a database and calls f for each row.
func (a *Auditor) each(
	ctx context.Context, database, query string, f func(scan scanner) error, args ...any,
) error {
	db, found := a.databases[database]
	if !found {
		return fmt.Errorf("there is no database %s", database)
	}
	rows, err := db.SQL.QueryContext(ctx, db.Bind(query), args...)
	if err != nil {
		return fmt.Errorf("%s: %w", database, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return fmt.Errorf("%s: %w", database, err)
		}
	}
	return rows.Err()
}

// numbers runs a query of one row in a database.
func (a *Auditor) numbers(ctx context.Context, database, query string, into ...any) error {
	found := false
	err := a.each(ctx, database, query, func(scan scanner) error { found = true; return scan(into...) })
	if err == nil && !found {
		err = sql.ErrNoRows
	}
	return err
}

// sum adds up the result of a query over databases.
func (a *Auditor) sum(ctx context.Context, databases []string, query string) (sum int64, err error) {
	for _, name := range databases {
		var n int64
		if err := a.numbers(ctx, name, query, &n); err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// all are the names of all databases.
func (a *Auditor) all() []string { return slices.Sorted(maps.Keys(a.databases)) }

// examples are the first of a list of things that are wrong, for a reader who wants to look at one.
func examples(wrong []string) string {
	if len(wrong) == 0 {
		return ""
	}
	slices.Sort(wrong)
	return ", for example " + strings.Join(wrong[:min(len(wrong), 2)], " and ")
}
