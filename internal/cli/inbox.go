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
	"github.com/postroom/postroom/migrations"
)

func newInbox(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inbox",
		Short: "look into a consumer's database, and repair what its handlers refused",
		Long: `inbox is about the database of a service that consumes: its inbox tables.
Name that database by --database-url, and its tables by --table-prefix and --schema.`,
	}
	group(cmd)
	cmd.AddCommand(newInboxDoctor(env), newInboxParked(env), newInboxPartition(env), newInboxPrune(env), newInboxStatus(env))
	return cmd
}

func newInboxParked(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "parked",
		Short: "look at messages that a consumer gave up, run them again or drop them",
		Long: `parked is about messages that a consumer set aside ("dead letters"): its handler failed too often
(state failed), or they wait behind such a message of their key (state blocked).

list and show read. retry and drop ask: the consumer does it, in the order of each key, within a
second or so, if it runs. docs/consuming.md says what to do when.

A message is named by its number (SEQ of the list) or by its message id; one that is all digits
is a number.`,
	}
	group(cmd)
	cmd.AddCommand(newInboxParkedList(env), newInboxParkedShow(env), newInboxParkedRetry(env), newInboxParkedDrop(env))
	return cmd
}

// inboxSelection are the flags that choose parked messages.
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

// check says what is wrong with the selection of a verb that changes something.
func (s *inboxSelection) check(args []string) error {
	given := 0
	for _, is := range []bool{len(args) > 0, s.flags.Changed("topic") || s.flags.Changed("key"), s.all} {
		if is {
			given++
		}
	}
	switch {
	case given == 0:
		return errors.New("name the messages: by their numbers or message ids, by --topic, by --topic and --key, or --all of them")
	case given > 1:
		return errors.New("name the messages in one way: by ids, by --topic (and --key), or by --all")
	case s.flags.Changed("key") && s.topic == "":
		return errors.New("--key: say which --topic, order is kept within both")
	case s.flags.Changed("topic") && s.topic == "":
		return errors.New("--topic: empty: name a topic, or use --all")
	}
	return checkConsumer(s.flags, s.consumer)
}

// what says in words that what the flags choose is not there.
func (s *inboxSelection) what() string {
	of := ""
	if s.consumer != "" {
		of = fmt.Sprintf(" of consumer %q", s.consumer)
	}
	return "no message" + of + s.of() + " is parked"
}

// knownConsumer refuses a consumer that no inbox table knows: the name is misspelt, or the database another one.
func knownConsumer(ctx context.Context, d *database, consumer string) error {
	if consumer == "" {
		return nil
	}
	s, err := dialect.ReadInboxStatus(ctx, d.DB, d.names(), consumer)
	if err == nil && len(s.Consumers) == 0 {
		err = unknownConsumer(consumer)
	}
	return err
}

func unknownConsumer(consumer string) error {
	return fmt.Errorf("consumer %q has left nothing in the inbox tables: see relay inbox status without --consumer", consumer)
}

// checkConsumer says what is wrong with --consumer.
func checkConsumer(f *pflag.FlagSet, consumer string) error {
	if f.Changed("consumer") && consumer == "" {
		return errors.New("--consumer: empty: name a consumer, or leave the flag out for all of them")
	}
	return nil
}

// inboxParkedIDs reads numbers and message ids.
func inboxParkedIDs(args []string) (ids []dialect.InboxParkedID, err error) {
	for _, arg := range args {
		seq, failed := strconv.ParseInt(arg, 10, 64)
		switch {
		case failed == nil && seq > 0:
			ids = append(ids, dialect.InboxParkedID{Seq: seq})
		case failed == nil || arg == "":
			err = errors.Join(err, fmt.Errorf("%q is neither the number of a parked message nor a message id: see relay inbox parked list", arg))
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

// inboxError says better what keeps the tables from being used.
func inboxError(ctx context.Context, d *database, err error) error {
	if dialect.IsMissingTable(err) {
		if missing := d.diagnose(ctx, migrations.InboxOnly); missing != nil {
			return missing
		}
	}
	if dialect.IsDenied(err) {
		return fmt.Errorf("%s: this user lacks a right: docs/tables.md lists those of an operator, SELECT and UPDATE (state, error) on %s and SELECT on the others: %w",
			d.Redacted, d.names().Plain(dialect.InboxParked), err)
	}
	return err
}

func addInbox(cmd *cobra.Command) {
	config.AddFlags(cmd.Flags(), config.General, config.Database)
	addJSON(cmd)
}
