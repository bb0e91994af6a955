package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dialect"
	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/internal/doctor/doctorkafka"
	"github.com/postroom/postroom/relay"
)

// doctorFlags are the command's own.
type doctorFlags struct {
	strict  bool
	maxAge  time.Duration
	timeout time.Duration
}

func newDoctor(env *Env) *cobra.Command {
	var own doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "say what is wrong with each source and its sink, and what to type",
		Long: `doctor looks at each source's database and at Kafka, with the configuration that the relay
runs with, and says what is wrong, why it matters and what to type. It changes nothing and
holds no locks. docs/operations.md explains each of its findings.

A problem: delivery is stopped or late, or a promise does not hold. A warning: it works, and
something makes it likely that it will not. A note: good to know.

What --ignore or doctor.ignore accepts is shown, and does not count.

It ends with 0 when there is no problem, with 3 when there is one (--strict: or a warning),
and with 1 when neither a database nor Kafka could be looked at.`,
		Example: `  relay doctor --config relay.yaml
  relay doctor --json | jq '.[].findings[] | select(.severity == "problem") | .check'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			c, _, err := load(env, cmd, func(c *config.Config) error {
				return errors.Join(c.CheckRun(), own.check(), doctor.CheckIgnore(c.Doctor.Ignore))
			})
			if err != nil {
				return err
			}
			return examine(ctx, env, cmd, c, own)
		},
	}
	config.AddFlags(cmd.Flags(), config.General, config.Database, config.Broker, config.Running, config.Examining)
	f := cmd.Flags()
	f.BoolVar(&own.strict, "strict", false, "end with 3 for warnings too")
	f.DurationVar(&own.maxAge, "max-age", 5*time.Minute, "`age` of an undelivered event or an open transaction that is a problem; a fifth of it is a warning")
	f.DurationVar(&own.timeout, "timeout", 5*time.Second, "longest `time` for the answer to one question")
	addJSON(cmd)
	return cmd
}

func (d doctorFlags) check() error {
	var errs []error
	if d.maxAge < time.Second {
		errs = append(errs, fmt.Errorf("--max-age: %s is out of range: want 1s or more", d.maxAge))
	}
	if d.timeout < 100*time.Millisecond || d.timeout > time.Minute {
		errs = append(errs, fmt.Errorf("--timeout: %s is out of range: want 100ms to 1m", d.timeout))
	}
	return errors.Join(errs...)
}

// atOnce is how many sources are examined at the same time.
const atOnce = 4

func examine(ctx context.Context, env *Env, cmd *cobra.Command, c *config.Config, own doctorFlags) error {
	kafka, closeKafka := openKafka(ctx, c, own.timeout)
	defer closeKafka()
	reports := make([]doctor.Report, len(c.Sources))
	var all sync.WaitGroup
	free := make(chan struct{}, atOnce)
	for i, s := range c.Sources {
		all.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			source := kafka // a copy
			_, source.RunFlags = relayFlags(cmd)
			source.Flags = s.CommandFlags
			reports[i] = examineSource(ctx, source, s, doctor.Options{MaxAge: own.maxAge, Timeout: own.timeout, Ignore: c.Doctor.Ignore})
		})
	}
	all.Wait()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("stopped by a signal: %w", err)
	}
	return printReports(env, cmd, reports, own.strict)
}

// openKafka describes the sink, which all sources share.
func openKafka(ctx context.Context, c *config.Config, timeout time.Duration) (doctor.Source, func()) {
	k := c.Sink.Kafka
	s := doctor.Source{
		At: "kafka at " + strings.Join(k.Brokers, ","), Brokers: k.Brokers,
		ExactlyOnce: c.Delivery.Mode == relay.ExactlyOnce, CreateTopics: k.CreateTopics, MaxRecordBytes: int64(k.MaxMessageBytes),
	}
	if s.MaxRecordBytes == 0 {
		s.MaxRecordBytes = 1_048_588 // relaykafka's default, as Kafka's own
	}
	for _, t := range c.Delivery.Topics {
		if !strings.HasSuffix(t, "*") {
			s.Topics = append(s.Topics, t)
		}
	}
	sink, err := newSink(c.Sink, newLogger(noLog{}, c.Log))
	if err != nil {
		s.SinkErr = err
		return s, func() {}
	}
	defer sink.close()
	// The sink's own check says best why a broker cannot be used.
	if checker, ok := sink.Sink.(interface{ Check(context.Context) error }); ok {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		if err := checker.Check(ctx); err != nil {
			s.SinkErr = err
			return s, func() {}
		}
	}
	client, err := kafkaClient(k)
	if err != nil {
		s.SinkErr = err
		return s, func() {}
	}
	s.Sink = doctorkafka.New(client)
	return s, client.Close
}

// noLog drops what the client says while it is asked: the report tells it.
type noLog struct{}

func (noLog) Write(p []byte) (int, error) { return len(p), nil }

func kafkaClient(k config.Kafka) (*kgo.Client, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(k.Brokers...), kgo.ClientID("postroom-doctor"), kgo.RequestRetries(1),
		kgo.SASL(mechanisms(k.SASL)...), kgo.DisableClientMetrics(),
	}
	tls, err := k.TLSConfig()
	if err != nil {
		return nil, err
	}
	if tls != nil {
		opts = append(opts, kgo.DialTLSConfig(tls))
	}
	return kgo.NewClient(opts...)
}

func examineSource(ctx context.Context, source doctor.Source, s config.Source, o doctor.Options) doctor.Report {
	source.Name = s.Name
	d, err := dbopen.DialectOf(s.DatabaseURL.Reveal())
	source.Names = dialect.Names{Dialect: d, Prefix: s.TablePrefix, Schema: s.Schema}
	if err == nil {
		var target *dbopen.Target
		target, err = dbopen.Open(ctx, s.DatabaseURL.Reveal(), dbopen.WithExisting(), dbopen.WithoutChanges(), dbopen.WithMaxOpen(2))
		if err == nil {
			defer func() { _ = target.DB.Close() }() // nothing was written
			source.DB, source.Where, source.Pooler = target.DB, target.Redacted, target.Pooler
		}
	}
	if source.OpenErr = err; err != nil {
		source.Where = "the database"
	}
	if source.Pooler {
		ctx, cancel := context.WithTimeout(ctx, o.Timeout)
		source.PoolerVersion = dbopen.PoolerVersion(ctx, s.DatabaseURL.Reveal())
		cancel()
	}
	return doctor.Examine(ctx, source, o)
}

// printReports prints the reports and returns the verdict. The summary is the verdict's text, which goes to stderr, or,
// without one, the end of the report: a terminal shows both.
func printReports(env *Env, cmd *cobra.Command, reports []doctor.Report, strict bool) error {
	found := verdict(reports, strict)
	if wantsJSON(cmd) {
		return errors.Join(printJSON(env.Stdout, reports), found)
	}
	err := doctor.Render(env.Stdout, reports)
	ending := "\n"
	if found == nil {
		ending = "\n" + doctor.Summary(reports) + "\n"
	}
	if err == nil {
		_, err = io.WriteString(env.Stdout, ending)
	}
	return errors.Join(err, found)
}

// verdict is the command's exit.
func verdict(reports []doctor.Report, strict bool) error {
	seen := func(r doctor.Report) bool { return r.DatabaseSeen || r.SinkSeen }
	if !slices.ContainsFunc(reports, seen) {
		return errors.New("neither a database nor Kafka could be looked at: see the findings above, and the configuration")
	}
	for _, r := range reports {
		if r.Count(doctor.Problem) > 0 || strict && r.Count(doctor.Warning) > 0 {
			return foundError{errors.New(doctor.Summary(reports))}
		}
	}
	return nil
}
