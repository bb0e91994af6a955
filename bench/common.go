package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/postroom/postroom/migrations"
)

// The databases that -database names.
const (
	postgreSQL = "postgresql"
	mariaDB    = "mariadb"
)

// options are the flags that all benchmarks have.
type options struct {
	Database string `json:"database"`
	relay    string // a built relay; empty: build it
	json     bool
}

func (o *options) register(flags *flag.FlagSet) {
	flags.StringVar(&o.Database, "database", postgreSQL, "postgresql or mariadb")
	flags.StringVar(&o.relay, "relay", "", "path of a built relay; default: build ../cmd/relay")
	flags.BoolVar(&o.json, "json", false, "print JSON")
}

// atEnd runs what cleans up, though ctx may have been cancelled, and adds its error.
func atEnd(err *error, clean func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	*err = errors.Join(*err, clean(ctx))
}

// address returns an environment variable of dev/services env.
func address(name string) (string, error) {
	if value := os.Getenv(name); value != "" {
		return value, nil
	}
	return "", fmt.Errorf(`%s is not set: run in the repository dev/services up && eval "$(dev/services env)"`, name)
}

const (
	envPostgres = "POSTROOM_TEST_POSTGRES_URL"
	envMariaDB  = "POSTROOM_TEST_MARIADB_URL"
	envKafka    = "POSTROOM_TEST_KAFKA_BROKERS"
)

func (o *options) serverVariable() (string, error) {
	switch o.Database {
	case postgreSQL:
		return envPostgres, nil
	case mariaDB:
		return envMariaDB, nil
	}
	return "", fmt.Errorf("-database is %q: want %s or %s", o.Database, postgreSQL, mariaDB)
}

// bench is what a benchmark works with: an empty outbox, a broker, and the programs.
type bench struct {
	db       *database
	broker   *broker
	programs *programs
	mode     string // of the contenders; empty: at least once
}

// open makes everything that a benchmark needs. The caller closes it.
func open(ctx context.Context, o options) (_ *bench, err error) {
	variable, err := o.serverVariable()
	if err != nil {
		return nil, err
	}
	server, err := address(variable)
	if err != nil {
		return nil, err
	}
	brokers, err := address(envKafka)
	if err != nil {
		return nil, err
	}
	b := &bench{}
	defer func() {
		if err != nil {
			atEnd(&err, b.close)
		}
	}()
	if b.programs, err = build(ctx, o.relay); err != nil {
		return nil, err
	}
	if b.broker, err = openBroker(strings.Split(brokers, ",")); err != nil {
		return nil, err
	}
	b.db, err = newDatabase(ctx, server, migrations.OutboxOnly)
	return b, err
}

func (b *bench) close(ctx context.Context) error {
	var errs []error
	if b.db != nil {
		errs = append(errs, b.db.drop(ctx))
	}
	if b.broker != nil {
		b.broker.client.Close()
	}
	if b.programs != nil {
		errs = append(errs, os.RemoveAll(b.programs.folder))
	}
	return errors.Join(errs...)
}

// start runs a contender against the outbox.
func (b *bench) start(name string, program string, args ...string) (*child, error) {
	return startChild(name, program, args, map[string]string{
		"POSTROOM_DATABASE_URL":  b.db.url,
		"POSTROOM_KAFKA_BROKERS": strings.Join(b.broker.addresses, ","),
	})
}

// startRelay runs the relay with its defaults.
func (b *bench) startRelay() (*child, error) { return b.startRelayWith() }

func (b *bench) startRelayWith(more ...string) (*child, error) {
	args := append([]string{"run", "--log-level", "warn"}, more...)
	if b.mode != "" {
		args = append(args, "--mode", b.mode)
	}
	return b.start("relay", b.programs.relay, args...)
}
