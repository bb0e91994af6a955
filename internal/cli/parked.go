package cli

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/ops"
	"github.com/postroom/postroom/internal/store/parked"
	"github.com/postroom/postroom/migrations"
)

// parkedTable describes the differences between the verbs of `parked` and of `inbox parked`.
type parkedTable struct {
	ops.Parked
	many string // plural of ops.Parked.One

	group, list, show, retry, drop parkedText

	ofConsumers bool // rows belong to consumers: --consumer
	overtakes   bool // rows can be overtaken: --force

	open func(*sql.DB, db.Names) (*parked.Store, error)
	// one opens the one database to which ids belong. each opens all databases that a list covers.
	one, each func(context.Context, *config.Config, func(*database) error) error
	// known fails if the database has no row of a consumer.
	known func(context.Context, *database, string) error

	parseID func(arg string) (parked.ID, bool)

	view    func(source string, e parked.Entry) any // an element of the output of `list --json`
	columns []string
	cells   func(e parked.Entry) []string // the cells of the columns
	shown   func(source string, e parked.Entry, p parked.Place, payload payloadJSON) any
	lines   func(e parked.Entry, p parked.Place) [][2]string
	answer  func(context.Context, *database, parked.Request, parked.Answer) (parkedAnswer, error)
}

// parkedText has the help of a verb, and of the flags that differ between the tables.
type parkedText struct{ short, long, example, all, flag string }

func (t parkedText) command(use string) *cobra.Command {
	return &cobra.Command{Use: use, Short: t.short, Long: t.long, Example: t.example}
}

func newParked(env *Env) *cobra.Command { return parkedEvents.command(env) }

func newInboxParked(env *Env) *cobra.Command { return parkedMessages.command(env) }

func (t *parkedTable) command(env *Env) *cobra.Command {
	cmd := t.group.command("parked")
	group(cmd)
	cmd.AddCommand(t.newList(env), t.newShow(env), t.newRetry(env), t.newDrop(env))
	return cmd
}

// on opens the one database and calls do. It explains an error that prevents the call.
func (t *parkedTable) on(env *Env, cmd *cobra.Command, wrong error,
	do func(context.Context, *database, *parked.Store) error) error {
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	c, err := loadParked(env, cmd, wrong)
	if err != nil {
		return err
	}
	return t.one(ctx, c, func(d *database) error {
		s, err := t.open(d.DB, d.names())
		if err != nil {
			return err
		}
		return t.Explain(do(ctx, d, s))
	})
}

func addParkedFlags(cmd *cobra.Command) {
	config.AddFlags(cmd.Flags(), config.General, config.Database)
	addJSON(cmd)
}

// selection has the flags that select parked rows.
type selection struct {
	table                *parkedTable
	consumer, topic, key string
	all                  bool
	flags                *pflag.FlagSet
}

func (t *parkedTable) selection(f *pflag.FlagSet) *selection {
	s := &selection{table: t, flags: f}
	if t.ofConsumers {
		f.StringVar(&s.consumer, "consumer", "", "`name` of the consumer (default: all)")
	}
	f.StringVar(&s.topic, "topic", "", "`topic` of the "+t.many)
	f.StringVar(&s.key, "key", "", "`key` of the "+t.many+", with --topic")
	return s
}

func (s *selection) filter() parked.Filter {
	f := parked.Filter{Consumer: s.consumer, Topic: s.topic}
	if s.flags.Changed("key") {
		f.Key = &s.key
	}
	return f
}

// check returns what is wrong with the selection of a verb that changes rows. The selection must name the
// rows, in one way only.
func (s *selection) check(args []string) error {
	given := 0
	for _, is := range []bool{len(args) > 0, s.flags.Changed("topic") || s.flags.Changed("key"), s.all} {
		if is {
			given++
		}
	}
	switch {
	case given == 0:
		return fmt.Errorf(
			"name the %[1]ss: by numbers or %[1]s ids, by --topic, by --topic and --key, or with --all", s.table.One,
		)
	case given > 1:
		return fmt.Errorf("name the %s in one way: by ids, by --topic (and --key), or with --all", s.table.many)
	case s.flags.Changed("key") && s.topic == "":
		return errors.New("--key: add --topic, because order is kept within a key of a topic")
	case s.flags.Changed("topic") && s.topic == "":
		return errors.New("--topic is empty: name a topic, or use --all")
	}
	return s.checkConsumer()
}

// checkConsumer returns what is wrong with --consumer.
func (s *selection) checkConsumer() error { return checkConsumer(s.flags, s.consumer) }

// what returns a message that no row matches the flags.
func (s *selection) what() string {
	of := ""
	if s.consumer != "" {
		of = fmt.Sprintf(" of consumer %q", s.consumer)
	}
	switch {
	case s.flags.Changed("key") && s.topic == "":
		of += fmt.Sprintf(" of key %q", s.key)
	case s.flags.Changed("key"):
		of += fmt.Sprintf(" of topic %q and key %q", s.topic, s.key)
	case s.topic != "":
		of += fmt.Sprintf(" of topic %q", s.topic)
	}
	return "no " + s.table.One + of + " is parked"
}

// ids parses numbers and ids of events or messages.
func (t *parkedTable) ids(args []string) (ids []parked.ID, err error) {
	for _, arg := range args {
		seq, failed := strconv.ParseInt(arg, 10, 64)
		if failed == nil && seq > 0 {
			ids = append(ids, parked.ID{Seq: seq})
			continue
		}
		id, ok := t.parseID(arg)
		if failed == nil || !ok {
			err = errors.Join(err, fmt.Errorf("%q is neither the number of a parked %s nor %s id: see %s list",
				arg, t.One, withArticle(t.One), t.Command))
			continue
		}
		ids = append(ids, id)
	}
	return ids, err
}

func withArticle(noun string) string {
	if strings.HasPrefix(noun, "e") {
		return "an " + noun
	}
	return "a " + noun
}

// loadParked reads the configuration. Its error also has the mistakes in wrong.
func loadParked(env *Env, cmd *cobra.Command, wrong error) (*config.Config, error) {
	c, _, err := load(env, cmd, func(c *config.Config) error { return errors.Join(c.CheckSources(), wrong) })
	return c, err
}

// oneSource returns the source for which a command is. It must be clear which one, because each source has
// its own row ids.
func oneSource(c *config.Config) (config.Source, error) {
	if len(c.Sources) == 1 {
		return c.Sources[0], nil
	}
	names := make([]string, len(c.Sources))
	for i, s := range c.Sources {
		names[i] = s.Name
	}
	return config.Source{}, usageError{
		fmt.Errorf("the file lists %d sources: say which one with --source: %s", len(names), strings.Join(names, ", ")),
	}
}

// onSource opens the one source and calls do. Ids and topics belong to one table only, so it rejects a name
// that belongs to another table, as `relay run` does.
func onSource(ctx context.Context, c *config.Config, do func(*database) error) error {
	s, err := oneSource(c)
	if err != nil {
		return err
	}
	return eachSource(ctx, []config.Source{s}, func(d *database) error {
		if err := d.checkName(ctx); err != nil {
			return err
		}
		return do(d)
	}, dbopen.WithExisting())
}

// tableError explains an error that prevents the use of the tables.
func tableError(ctx context.Context, d *database, err error) error {
	if db.IsMissingTable(err) {
		if missing := d.diagnose(ctx, migrations.OutboxOnly); missing != nil {
			return missing
		}
	}
	if db.IsDenied(err) {
		return fmt.Errorf("%s: this user lacks a right: it needs SELECT and UPDATE on %s and SELECT on %s, see "+
			"docs/tables.md: %w",
			d.Redacted, d.names().Plain(db.Parked), d.names().Plain(db.Leases), err)
	}
	return err
}
