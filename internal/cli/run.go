package cli

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
	"github.com/postroom/postroom/relay/relaywatermill/watermillamqp"
)

func newRun(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "deliver events until the process gets a signal",
		Long: `run delivers the events of one outbox table, or of several that the file of --config lists.
Start it on as many hosts as you like, with the same configuration. The processes share the
sources evenly. One process owns a source at a time; when it fails, another one takes over.

The first SIGTERM or SIGINT drains: the relay delivers and deletes the events that are in flight,
and ends with exit code 0. A second signal stops it at once, with exit code 1. No event is lost
in either case.

With --amqp-url the events go to RabbitMQ instead of Kafka: an event's topic is the name of the
exchange, and its key is the routing key. The relay declares no exchange and no queue. An event
that no queue takes is rejected, and --on-rejection decides about it.

TLS and SASL for Kafka are set in the file, under sink.kafka.tls (enabled, ca_file, cert_file,
key_file) and sink.kafka.sasl (mechanism, username, password or password_file), or by
POSTROOM_KAFKA_TLS_ENABLED, POSTROOM_KAFKA_SASL_MECHANISM and so on.`,
		Example: `  relay run --database-url postgres://relay@db/shop --kafka-brokers kafka:9092
  POSTROOM_DATABASE_URL_FILE=/run/secrets/db relay run --config relay.yaml
  POSTROOM_AMQP_URL_FILE=/run/secrets/rabbitmq relay run --database-url postgres://relay@db/shop`,
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

// startAll makes every relay, so that all mistakes are reported at once. With an error it still returns the relays
// that it made, so that the caller can close them.
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

// runAll relays all sources until ctx ends. A source that fails does not stop the others.
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
				log.Error("source stopped; the other sources go on", "source", r.db.source.Name, "error", errs[i])
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// sink is a relay's sink with its address, for the log.
type sink struct {
	relay.Sink
	address string // contains no secret
	close   func()
}

func newSink(c config.Sink, log *slog.Logger) (*sink, error) {
	if c.AMQP.URL != "" {
		return newAMQPSink(c.AMQP)
	}
	return newKafkaSink(c.Kafka, log)
}

func newAMQPSink(c config.AMQP) (*sink, error) {
	url := c.URL.Reveal()
	address, err := watermillamqp.Address(url)
	if err != nil {
		return nil, err
	}
	s, err := watermillamqp.New(watermillamqp.Config{URL: url})
	if err != nil {
		return nil, err
	}
	return &sink{Sink: s, address: "rabbitmq at " + address, close: func() { _ = s.Close() }}, nil
}

func newKafkaSink(c config.Kafka, log *slog.Logger) (*sink, error) {
	tls, err := c.TLSConfig()
	if err != nil {
		return nil, err
	}
	s, err := relaykafka.New(relaykafka.Config{
		Brokers:      c.Brokers,
		TLS:          tls,
		SASL:         mechanisms(c.SASL),
		CreateTopics: c.CreateTopics,
		Logger:       log,

		BatchMaxBytes: c.MaxMessageBytes,
	})
	if err != nil {
		return nil, err
	}
	return &sink{Sink: s, address: "kafka at " + strings.Join(c.Brokers, ","), close: func() {}}, nil
}

func mechanisms(c config.SASL) []sasl.Mechanism {
	user, password := c.Username, c.Password.Reveal()
	switch c.Mechanism {
	case "plain":
		return []sasl.Mechanism{plain.Auth{User: user, Pass: password}.AsMechanism()}
	case "scram-sha-256":
		return []sasl.Mechanism{scram.Auth{User: user, Pass: password}.AsSha256Mechanism()}
	case "scram-sha-512":
		return []sasl.Mechanism{scram.Auth{User: user, Pass: password}.AsSha512Mechanism()}
	}
	return nil
}
