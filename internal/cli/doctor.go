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
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/internal/doctor/doctorkafka"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaywatermill/watermillamqp"
)

// doctorFlags has the flags of `relay doctor` and `relay inbox doctor` that the configuration does not have.
type doctorFlags struct {
	strict  bool
	maxAge  time.Duration
	timeout time.Duration
}

func newDoctor(env *Env) *cobra.Command {
	var own doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "check each source and its sink, and say what to do",
		Long: `doctor checks each source's database, and Kafka or RabbitMQ. Run it with the configuration of the
relay. For each finding it says what is wrong, why it matters and which command helps. It changes
nothing and holds no locks. docs/operations.md explains each finding.

A problem means that delivery is stopped or late, or that a promise does not hold. A warning means
that everything works now but may stop working. A note is for information.

Findings that --ignore or doctor.ignore names are shown but do not count.

The exit code is 0 without problems, 3 with a problem (with --strict: or a warning), and 1 if
doctor could reach neither a database nor Kafka or RabbitMQ.`,
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
	f.BoolVar(&own.strict, "strict", false, "exit code 3 for warnings too")
	f.DurationVar(&own.maxAge, "max-age", 5*time.Minute,
		"report an undelivered event or an open transaction of this `age` as a problem; "+
			"a fifth of the age is a warning")
	f.DurationVar(&own.timeout, "timeout", 5*time.Second, "longest `time` to wait for the answer to one query")
	addJSON(cmd)
	return cmd
}

func (d doctorFlags) check() error {
	var errs []error
	if d.maxAge < time.Second {
		errs = append(errs, fmt.Errorf("--max-age: %s is out of range: use 1s or more", d.maxAge))
	}
	if d.timeout < 100*time.Millisecond || d.timeout > time.Minute {
		errs = append(errs, fmt.Errorf("--timeout: %s is out of range: use 100ms to 1m", d.timeout))
	}
	return errors.Join(errs...)
}

// options returns the options that both doctors have.
func (d doctorFlags) options(c *config.Config) doctor.Options {
	return doctor.Options{MaxAge: d.maxAge, Timeout: d.timeout, Ignore: c.Doctor.Ignore}
}

// atOnce is the number of sources that are examined at the same time.
const atOnce = 4

func examine(ctx context.Context, env *Env, cmd *cobra.Command, c *config.Config, own doctorFlags) error {
	open := openKafka
	if c.Sink.AMQP.URL != "" {
		open = openRabbitMQ
	}
	sink, closeSink := open(ctx, c, own.timeout)
	defer closeSink()
	reports := make([]doctor.Report, len(c.Sources))
	var all sync.WaitGroup
	free := make(chan struct{}, atOnce)
	for i, s := range c.Sources {
		all.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			source := sink // a copy
			_, source.RunFlags = relayFlags(cmd)
			source.Flags = s.CommandFlags
			reports[i] = examineSource(ctx, source, s, own.options(c))
		})
	}
	all.Wait()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("stopped by a signal: %w", err)
	}
	return printReports(env, cmd, reports, own.strict)
}

// openKafka describes the sink, which all sources share. The caller calls the returned function at the end.
func openKafka(ctx context.Context, c *config.Config, timeout time.Duration) (doctor.Source, func()) {
	k := c.Sink.Kafka
	s := doctor.Source{
		At: "kafka at " + strings.Join(k.Brokers, ","), Brokers: k.Brokers,
		ExactlyOnce: c.Delivery.Mode == relay.ExactlyOnce, CreateTopics: k.CreateTopics,
		MaxRecordBytes: int64(k.MaxMessageBytes),
	}
	if s.MaxRecordBytes == 0 {
		s.MaxRecordBytes = 1_048_588 // the default of relaykafka and of Kafka
	}
	s.Topics = topicsByName(c)
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

// topicsByName returns the configured topics, without patterns.
func topicsByName(c *config.Config) []string {
	return slices.DeleteFunc(slices.Clone(c.Delivery.Topics), func(t string) bool { return strings.HasSuffix(t, "*") })
}

// openRabbitMQ does the same for RabbitMQ.
func openRabbitMQ(ctx context.Context, c *config.Config, timeout time.Duration) (doctor.Source, func()) {
	url := c.Sink.AMQP.URL.Reveal()
	address, err := watermillamqp.Address(url)
	s := doctor.Source{At: "rabbitmq at " + address, Topics: topicsByName(c), SinkErr: err}
	if err != nil {
		return s, func() {}
	}
	sink, err := watermillamqp.New(watermillamqp.Config{URL: url, Name: "postroom-doctor"})
	if err != nil {
		s.SinkErr = err
		return s, func() {}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if s.SinkErr = sink.Check(ctx); s.SinkErr == nil {
		s.Exchanges = sink
	}
	return s, func() { _ = sink.Close() }
}

// noLog drops the client's log lines: the report has their content.
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
	defer openForDoctor(ctx, &source, s)()
	if source.Pooler {
		ctx, cancel := context.WithTimeout(ctx, o.Timeout)
		source.PoolerVersion = dbopen.PoolerVersion(ctx, s.DatabaseURL.Reveal())
		cancel()
	}
	return doctor.Examine(ctx, source, o)
}

// openForDoctor opens the database of s for source. Doctor reports an error, so it is put into source.OpenErr.
func openForDoctor(ctx context.Context, source *doctor.Source, s config.Source) (closeDB func()) {
	url := s.DatabaseURL.Reveal()
	d, err := dbopen.DialectOf(url)
	source.Names = db.Names{Dialect: d, Prefix: s.TablePrefix, Schema: s.Schema}
	source.Where, source.OpenErr = "the database", err
	if err != nil {
		return func() {}
	}
	target, err := dbopen.Open(ctx, url, dbopen.WithExisting(), dbopen.WithoutChanges(), dbopen.WithMaxOpen(2))
	if err != nil {
		source.OpenErr = err
		return func() {}
	}
	source.DB, source.Where, source.Pooler = target.DB, target.Redacted, target.Pooler
	return func() { _ = target.DB.Close() } // nothing was written
}

// printReports prints the reports and returns the verdict. The summary is the text of the verdict, which goes to
// standard error. Without a verdict the report ends with the summary. So a terminal shows it once in both cases.
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

// verdict returns the error that decides the exit code, or nil.
func verdict(reports []doctor.Report, strict bool) error {
	seen := func(r doctor.Report) bool { return r.DatabaseSeen || r.SinkSeen }
	if !slices.ContainsFunc(reports, seen) {
		return errors.New("neither a database nor Kafka could be reached: see the findings above, and check the " +
			"configuration")
	}
	for _, r := range reports {
		if r.Count(doctor.Problem) > 0 || strict && r.Count(doctor.Warning) > 0 {
			return foundError{errors.New(doctor.Summary(reports))}
		}
	}
	return nil
}

func newInboxDoctor(env *Env) *cobra.Command {
	own := doctorFlags{maxAge: 5 * time.Minute}
	var retention string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "check a consumer's inbox, and say what to do",
		Long: `doctor checks the inbox tables of a consumer's database. For each finding it says what is wrong, why
it matters and which command helps. It finds missing tables and rights, parked messages, keys that
are blocked although no message of them is parked, and an inbox that nobody prunes. With
--kafka-brokers it also compares the consumer groups' offsets in Kafka with the database: after a
restore the groups may be ahead. It changes nothing. docs/operations.md explains each finding.

Run it with the database user of the consumer. With --retention, say how long the consumers keep
their rows. With daily partitions the tables have this time.

Findings that --ignore or doctor.ignore names are shown but do not count.

The exit code is 0 without problems, 3 with a problem (with --strict: or a warning), and 1 if the
database could not be reached.`,
		Example: `  relay inbox doctor --database-url postgres://billing@db/billing --retention 7d \
    --kafka-brokers kafka-1:9092`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			kept, wrong := readRetention(retention)
			c, err := loadParked(env, cmd, errors.Join(own.check(), wrong))
			if err != nil {
				return err
			}
			if err := doctor.CheckIgnore(c.Doctor.Ignore); err != nil {
				return usageError{err}
			}
			s, err := oneSource(c)
			if err != nil {
				return err
			}
			source := doctor.Source{Name: "inbox", Flags: s.CommandFlags}
			_, source.RunFlags = relayFlags(cmd)
			defer openForDoctor(ctx, &source, s)()
			defer openGroups(&source, c.Sink.Kafka)()
			reports := []doctor.Report{doctor.ExamineInbox(ctx, source, doctor.InboxOptions{
				Options: own.options(c), Retention: kept,
			})}
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("stopped by a signal: %w", err)
			}
			return printReports(env, cmd, reports, own.strict)
		},
	}
	config.AddFlags(cmd.Flags(), config.General, config.Database, config.Broker, config.Examining)
	addJSON(cmd)
	f := cmd.Flags()
	f.BoolVar(&own.strict, "strict", false, "exit code 3 for warnings too")
	f.StringVar(&retention, "retention", "",
		"`time` for which consumers keep their rows, as 7d or 36h (default: not known)")
	f.DurationVar(&own.timeout, "timeout", 5*time.Second, "longest `time` to wait for the answer to one query")
	return cmd
}

// readRetention parses --retention. The time is zero if the flag is not set.
func readRetention(flag string) (time.Duration, error) {
	if flag == "" {
		return 0, nil
	}
	age, err := config.Age(flag)
	if err == nil && age <= 0 {
		err = fmt.Errorf("%s is not positive: say how long consumers keep their rows", flag)
	}
	if err != nil {
		return 0, fmt.Errorf("--retention: %w", err)
	}
	return age, nil
}

// openGroups connects source to Kafka, for the offsets of the consumer groups, if the flags name brokers.
func openGroups(source *doctor.Source, k config.Kafka) (closeKafka func()) {
	if len(k.Brokers) == 0 {
		return func() {}
	}
	source.At, source.Brokers = "kafka at "+strings.Join(k.Brokers, ","), k.Brokers
	client, err := kafkaClient(k)
	if err != nil {
		source.SinkErr = err
		return func() {}
	}
	source.Sink = doctorkafka.New(client)
	return client.Close
}
