package cli

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync"

	"github.com/spf13/cobra"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/relay"
)

func newRun(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "deliver events until a signal comes",
		Long: `run delivers the events of one outbox table, or of several that the file of --config lists.
Start it on as many hosts as you like, with the same configuration: they share the sources evenly,
one of them owns a source at a time, and the others take over.

The first SIGTERM or SIGINT drains: what is on its way is delivered and deleted, then the
command ends with 0. A second one stops at once, with 1; nothing is lost then either.

TLS and SASL for Kafka are set in the file, under sink.kafka.tls (enabled, ca_file, cert_file,
key_file) and sink.kafka.sasl (mechanism, username, password or password_file), or by
POSTROOM_KAFKA_TLS_ENABLED, POSTROOM_KAFKA_SASL_MECHANISM and so on.`,
		Example: `  relay run --database-url postgres://relay@db/shop --kafka-brokers kafka:9092
  POSTROOM_DATABASE_URL_FILE=/run/secrets/db relay run --config relay.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(env, cmd) },
	}
	config.AddFlags(cmd.Flags(), config.General, config.Database, config.Broker, config.Running)
	return cmd
}

func run(env *Env, cmd *cobra.Command) error {
	c, log, err := load(env, cmd, (*config.Config).CheckRun)
	if err != nil {
		return err
	}
	for _, w := range c.Exposed {
		log.Warn(w)
	}
	tuneMemory(len(c.Sources))
	ctx, stop := drainOnSignal(cmd.Context(), c.Delivery.Mode, log, env.Exit)
	defer stop()
	databases, err := openPools(ctx, c.Sources, log)
	defer databases.close()
	if err != nil {
		return err
	}
	relays, err := startAll(ctx, c, databases, log)
	defer func() {
		for _, r := range relays {
			r.sink.close()
		}
	}()
	if err != nil {
		return err
	}
	return runAll(ctx, relays, log)
}

// running is one source with its relay.
type running struct {
	db       *database
	leases   *sql.DB
	sink     *sink
	relay    *relay.Relay
	delivery config.Delivery
}

// startAll makes every relay, so that all that is wrong is told at once. It returns
// what it made with an error too, for closing.
func startAll(ctx context.Context, c *config.Config, databases pools, log *slog.Logger) ([]*running, error) {
	var (
		relays []*running
		errs   []error
	)
	process := relay.NewMember()
	for _, s := range c.Sources {
		p := databases[s.DatabaseURL]
		work, leases := p.share()
		r := &running{db: &database{Target: &work, source: s}, leases: leases, delivery: c.Delivery,
			sink: &sink{close: func() {}}}
		relays = append(relays, r)
		if err := r.build(ctx, c, process, log); err != nil {
			errs = append(errs, sourceError(s, err))
		}
	}
	return relays, errors.Join(errs...)
}

func (r *running) build(ctx context.Context, c *config.Config, process *relay.Member, log *slog.Logger) error {
	s := r.db.source
	if err := migrations.Check(ctx, r.db.DB, r.db.Dialect, r.db.migrationOptions(migrations.OutboxOnly)); err != nil {
		return err
	}
	sink, err := newSink(c.Sink, log.With("source", s.Name))
	if err != nil {
		return err
	}
	r.sink = sink
	window := windowOf(len(c.Sources))
	r.relay, err = relay.New(relay.Config{
		DB:          r.db.DB,
		LeaseDB:     r.leases,
		Member:      process,
		Dialect:     r.db.Dialect,
		Sink:        sink.Sink,
		Mode:        c.Delivery.Mode,
		OnRejection: c.Delivery.OnRejection,
		Topics:      c.Delivery.Topics,
		Source:      s.Name,
		TablePrefix: s.TablePrefix,
		Schema:      s.Schema,
		LeaseTTL:    c.Delivery.LeaseTTL,
		PollMax:     c.Delivery.PollMax,
		Archive:     c.Delivery.Archive,
		ArchiveFor:  c.Delivery.ArchiveFor,
		Logger:      log,

		MaxInFlight:      window.MaxInFlight,
		MaxInFlightBytes: window.MaxInFlightBytes,
		BatchSize:        window.BatchSize,
	})
	return err
}

// runAll relays all sources until ctx ends. One that fails does not stop the others.
func runAll(ctx context.Context, relays []*running, log *slog.Logger) error {
	errs := make([]error, len(relays))
	var all sync.WaitGroup
	for i, r := range relays {
		log.Info("started", "source", r.db.source.Name, "database", r.db.Redacted,
			"sink", r.sink.address, "pooler", r.db.Pooler,
			"mode", r.delivery.Mode, "archive", r.delivery.Archive, "on_rejection", r.delivery.OnRejection)
		all.Go(func() {
			errs[i] = r.relay.Run(ctx)
			if errs[i] != nil && len(relays) > 1 {
				log.Error("source stopped, the others go on", "source", r.db.source.Name, "error", errs[i])
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
