package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dialect"
	inboxstore "github.com/postroom/postroom/internal/store/inbox"
	"github.com/postroom/postroom/migrations"
)

func newInbox(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inbox",
		Short: "inspect a consumer's inbox, and retry or drop parked messages",
		Long: `inbox works on the inbox tables in the database of a consuming service. Name that database with
--database-url, and its tables with --table-prefix and --schema.`,
	}
	group(cmd)
	cmd.AddCommand(newInboxDoctor(env), newInboxParked(env), newInboxPartition(env), newInboxPrune(env),
		newInboxStatus(env))
	return cmd
}

func newInboxParked(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "parked",
		Short: "list, retry or drop messages that a consumer has parked",
		Long: `parked is about messages that a consumer has parked ("dead letters"). In state failed, the handler
has failed too often. In state blocked, the message waits behind a failed message of its key.

list and show only read. retry and drop mark the messages; the consumer does the rest, in the order
of each key. A running consumer needs about a second. docs/consuming.md says when to do what.

Name a message by its number (SEQ in the list) or by its message id. A name of digits only is a
number.`,
	}
	group(cmd)
	cmd.AddCommand(newInboxParkedList(env), newInboxParkedShow(env), newInboxParkedRetry(env), newInboxParkedDrop(env))
	return cmd
}

// inboxSelection has the flags that select parked messages.
type inboxSelection struct {
	consumer string
	selection
}

func (s *inboxSelection) add(f *pflag.FlagSet) {
	s.flags = f
	f.StringVar(&s.consumer, "consumer", "", "`name` of the consumer (default: all)")
	f.StringVar(&s.topic, "topic", "", "`topic` of the messages")
	f.StringVar(&s.key, "key", "", "`key` of the messages, with --topic")
}

func (s *inboxSelection) filter() dialect.InboxParkedFilter {
	f := dialect.InboxParkedFilter{Consumer: s.consumer, Topic: s.topic}
	if s.flags.Changed("key") {
		f.Key = &s.key
	}
	return f
}

// check returns what is wrong with the selection, for verbs that change something.
func (s *inboxSelection) check(args []string) error {
	given := 0
	for _, is := range []bool{len(args) > 0, s.flags.Changed("topic") || s.flags.Changed("key"), s.all} {
		if is {
			given++
		}
	}
	switch {
	case given == 0:
		return errors.New("name the messages: by numbers or message ids, by --topic, by --topic and --key, or with " +
			"--all")
	case given > 1:
		return errors.New("name the messages in one way: by ids, by --topic (and --key), or with --all")
	case s.flags.Changed("key") && s.topic == "":
		return errors.New("--key: add --topic, because order is kept within a key of a topic")
	case s.flags.Changed("topic") && s.topic == "":
		return errors.New("--topic is empty: name a topic, or use --all")
	}
	return checkConsumer(s.flags, s.consumer)
}

// what says that no message matches the flags.
func (s *inboxSelection) what() string {
	of := ""
	if s.consumer != "" {
		of = fmt.Sprintf(" of consumer %q", s.consumer)
	}
	return "no message" + of + s.of() + " is parked"
}

// knownConsumer fails if the inbox tables have nothing of the consumer: its name is misspelt, or this is another
// database.
func knownConsumer(ctx context.Context, d *database, consumer string) error {
	if consumer == "" {
		return nil
	}
	s, err := inboxstore.ReadStatus(ctx, d.DB, d.names(), consumer)
	if err == nil && len(s.Consumers) == 0 {
		err = unknownConsumer(consumer)
	}
	return err
}

func unknownConsumer(consumer string) error {
	return fmt.Errorf("the inbox tables have nothing of consumer %q: relay inbox status lists the consumers", consumer)
}

// checkConsumer returns what is wrong with --consumer.
func checkConsumer(f *pflag.FlagSet, consumer string) error {
	if f.Changed("consumer") && consumer == "" {
		return errors.New("--consumer is empty: name a consumer, or omit the flag for all of them")
	}
	return nil
}

// inboxParkedIDs parses numbers and message ids.
func inboxParkedIDs(args []string) (ids []dialect.InboxParkedID, err error) {
	for _, arg := range args {
		seq, failed := strconv.ParseInt(arg, 10, 64)
		switch {
		case failed == nil && seq > 0:
			ids = append(ids, dialect.InboxParkedID{Seq: seq})
		case failed == nil || arg == "":
			err = errors.Join(err, fmt.Errorf("%q is neither the number of a parked message nor a message id: "+
				"see relay inbox parked list", arg))
		default:
			ids = append(ids, dialect.InboxParkedID{MessageID: arg})
		}
	}
	return ids, err
}

// onInbox opens the consumer's database for do.
func onInbox(env *Env, cmd *cobra.Command, wrong error, do func(context.Context, *database) error) error {
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	c, err := loadParked(env, cmd, wrong)
	if err != nil {
		return err
	}
	s, err := oneSource(c)
	if err != nil {
		return err
	}
	target, err := dbopen.Open(ctx, s.DatabaseURL.Reveal(), dbopen.WithExisting(), dbopen.WithMaxOpen(2))
	if err != nil {
		return err
	}
	d := &database{Target: target, source: s}
	defer func() { _ = d.DB.Close() }()
	return inboxError(ctx, d, do(ctx, d))
}

// inboxError explains a missing table and a missing right.
func inboxError(ctx context.Context, d *database, err error) error {
	if dialect.IsMissingTable(err) {
		if missing := d.diagnose(ctx, migrations.InboxOnly); missing != nil {
			return missing
		}
	}
	if dialect.IsDenied(err) {
		return fmt.Errorf("%s: permission denied: an operator needs SELECT and UPDATE (state, error) on %s, "+
			"and SELECT on the other inbox tables, see docs/tables.md: %w",
			d.Redacted, d.names().Plain(dialect.InboxParked), err)
	}
	return err
}

func addInbox(cmd *cobra.Command) {
	config.AddFlags(cmd.Flags(), config.General, config.Database)
	addJSON(cmd)
}
