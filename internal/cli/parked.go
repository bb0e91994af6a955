package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dialect"
	"github.com/postroom/postroom/migrations"
)

func newParked(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "parked",
		Short: "look at events that the sink refused, send them again or drop them",
		Long: `parked is about events that were set aside ("dead letters"): the sink refused them for good
(state failed), or they wait behind such an event of their key (state blocked).

list and show read. retry and drop ask: the relay that owns the source does it, in the order
of each key, within a second or so. docs/operations.md says what to do when.

An event is named by its number (SEQ of the list) or by its event id.`,
	}
	group(cmd)
	cmd.AddCommand(newParkedList(env), newParkedShow(env), newParkedRetry(env), newParkedDrop(env))
	return cmd
}

// selection are the flags that choose parked events.
type selection struct {
	topic, key string
	all        bool
	flags      *pflag.FlagSet
}

func (s *selection) add(f *pflag.FlagSet) {
	s.flags = f
	f.StringVar(&s.topic, "topic", "", "`topic` of the events")
	f.StringVar(&s.key, "key", "", "`key` of the events, with --topic")
}

func (s *selection) addAll(f *pflag.FlagSet, usage string) {
	f.BoolVar(&s.all, "all", false, usage)
}

func (s *selection) filter() dialect.ParkedFilter {
	f := dialect.ParkedFilter{Topic: s.topic}
	if s.flags.Changed("key") {
		f.Key = &s.key
	}
	return f
}

// check says what is wrong with the selection of a verb that changes something: it must
// name what it means, once.
func (s *selection) check(args []string) error {
	given := 0
	for _, is := range []bool{len(args) > 0, s.flags.Changed("topic") || s.flags.Changed("key"), s.all} {
		if is {
			given++
		}
	}
	switch {
	case given == 0:
		return errors.New("name the events: by their numbers or event ids, by --topic, by --topic and --key, or --all of them")
	case given > 1:
		return errors.New("name the events in one way: by ids, by --topic (and --key), or by --all")
	case s.flags.Changed("key") && s.topic == "":
		return errors.New("--key: say which --topic, order is kept within both")
	case s.flags.Changed("topic") && s.topic == "":
		return errors.New("--topic: empty: name a topic, or use --all")
	}
	return nil
}

// what says in words that what the flags choose is not there.
func (s *selection) what() string { return "no event" + s.of() + " is parked" }

// of says in words what the flags choose, with a space before.
func (s *selection) of() string {
	switch {
	case s.flags.Changed("key") && s.topic == "":
		return fmt.Sprintf(" of key %q", s.key)
	case s.flags.Changed("key"):
		return fmt.Sprintf(" of topic %q and key %q", s.topic, s.key)
	case s.topic != "":
		return fmt.Sprintf(" of topic %q", s.topic)
	}
	return ""
}

// parkedIDs reads numbers and event ids.
func parkedIDs(args []string) (ids []dialect.ParkedID, err error) {
	var errs []error
	for _, arg := range args {
		seq, failed := strconv.ParseInt(arg, 10, 64)
		if failed == nil && seq > 0 {
			ids = append(ids, dialect.ParkedID{Seq: seq})
			continue
		}
		id, failed := uuid.Parse(arg)
		if failed != nil || len(arg) != 36 {
			errs = append(errs, fmt.Errorf("%q is neither the number of a parked event nor an event id: see relay parked list", arg))
			continue
		}
		ids = append(ids, dialect.ParkedID{EventID: id})
	}
	return ids, errors.Join(errs...)
}

// loadParked reads the configuration, with the mistakes that wrong says.
func loadParked(env *Env, cmd *cobra.Command, wrong error) (*config.Config, error) {
	c, _, err := load(env, cmd, func(c *config.Config) error { return errors.Join(c.CheckSources(), wrong) })
	return c, err
}

// oneSource returns the source that a command is about, which must be clear: ids count
// in each source by itself.
func oneSource(c *config.Config) (config.Source, error) {
	if len(c.Sources) == 1 {
		return c.Sources[0], nil
	}
	names := make([]string, len(c.Sources))
	for i, s := range c.Sources {
		names[i] = s.Name
	}
	return config.Source{}, usageError{fmt.Errorf("the file lists %d sources: say which one with --source: %s", len(names), strings.Join(names, ", "))}
}

// onSource opens the one source for do. Ids and topics mean something in one table only, so
// a name that is another table's is refused, as `relay run` does.
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

// tableError says better what keeps the tables from being used.
func tableError(ctx context.Context, d *database, err error) error {
	if dialect.IsMissingTable(err) {
		if missing := d.diagnose(ctx, migrations.OutboxOnly); missing != nil {
			return missing
		}
	}
	if dialect.IsDenied(err) {
		return fmt.Errorf("%s: this user lacks a right: it needs SELECT and UPDATE on %s and SELECT on %s, see docs/tables.md: %w",
			d.Redacted, d.names().Plain(dialect.Parked), d.names().Plain(dialect.Leases), err)
	}
	return err
}
