package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dialect"
	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/internal/doctor/doctorkafka"
)

func newInboxDoctor(env *Env) *cobra.Command {
	own := doctorFlags{maxAge: 5 * time.Minute}
	var retention string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "say what is wrong with a consumer's inbox, and what to type",
		Long: `doctor looks at the inbox tables of a consumer's database and says what is wrong, why it matters
and what to type: tables and rights that are missing, what is parked, keys that stand still behind
nothing, an inbox that nobody prunes. With --kafka-brokers it also asks Kafka whether the consumers'
groups are ahead of the database, as after a restore. It changes nothing. docs/operations.md
explains each finding.

Run it with the consumer's own user. --retention is the time for which the consumers keep their
rows; with daily partitions they tell it themselves.

What --ignore or doctor.ignore accepts is shown, and does not count.

It ends with 0 when there is no problem, with 3 when there is one (--strict: or a warning), and
with 1 when the database could not be looked at.`,
		Example: `  relay inbox doctor --database-url postgres://billing@db/billing --retention 7d --kafka-brokers kafka-1:9092`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			var kept time.Duration
			wrong := own.check()
			if retention != "" {
				age, err := config.Age(retention)
				if err == nil && age <= 0 {
					err = fmt.Errorf("%s is not positive: say for how long rows are kept", retention)
				}
				if err != nil {
					wrong = errors.Join(wrong, fmt.Errorf("--retention: %w", err))
				}
				kept = age
			}
			c, err := loadParked(env, cmd, wrong)
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
			source := doctor.Source{Name: "inbox"}
			_, source.RunFlags = relayFlags(cmd)
			source.Flags = s.CommandFlags
			d, err := dbopen.DialectOf(s.DatabaseURL.Reveal())
			source.Names = dialect.Names{Dialect: d, Prefix: s.TablePrefix, Schema: s.Schema}
			if err == nil {
				var target *dbopen.Target
				target, err = dbopen.Open(ctx, s.DatabaseURL.Reveal(), dbopen.WithExisting(), dbopen.WithoutChanges(), dbopen.WithMaxOpen(2))
				if err == nil {
					defer func() { _ = target.DB.Close() }() // nothing was written
					source.DB, source.Where = target.DB, target.Redacted
				}
			}
			if source.OpenErr = err; err != nil {
				source.Where = "the database"
			}
			closeKafka := askKafka(&source, c.Sink.Kafka)
			defer closeKafka()
			reports := []doctor.Report{doctor.ExamineInbox(ctx, source, doctor.InboxOptions{
				Options: doctor.Options{MaxAge: own.maxAge, Timeout: own.timeout, Ignore: c.Doctor.Ignore}, Retention: kept,
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
	f.BoolVar(&own.strict, "strict", false, "end with 3 for warnings too")
	f.StringVar(&retention, "retention", "", "`time` for which consumers keep their rows, as 7d or 36h (default: not known)")
	f.DurationVar(&own.timeout, "timeout", 5*time.Second, "longest `time` for the answer to one question")
	return cmd
}

// askKafka has the source's groups looked at in Kafka, if brokers are named.
func askKafka(source *doctor.Source, k config.Kafka) (close func()) {
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
