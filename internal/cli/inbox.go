package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbopen"
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

// knownConsumer fails if the inbox tables have no row of the consumer: its name is misspelt, or this is
// another database.
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

// onInbox opens the consumer's database and calls do.
func onInbox(env *Env, cmd *cobra.Command, wrong error, do func(context.Context, *database) error) error {
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	c, err := loadParked(env, cmd, wrong)
	if err != nil {
		return err
	}
	return onInboxOf(ctx, c, func(d *database) error { return do(ctx, d) })
}

func onInboxOf(ctx context.Context, c *config.Config, do func(*database) error) error {
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
	return inboxError(ctx, d, do(d))
}

// inboxError explains a missing table and a missing right.
func inboxError(ctx context.Context, d *database, err error) error {
	if db.IsMissingTable(err) {
		if missing := d.diagnose(ctx, migrations.InboxOnly); missing != nil {
			return missing
		}
	}
	if db.IsDenied(err) {
		return fmt.Errorf("%s: permission denied: an operator needs SELECT and UPDATE (state, error) on %s, "+
			"and SELECT on the other inbox tables, see docs/tables.md: %w",
			d.Redacted, d.names().Plain(db.InboxParked), err)
	}
	return err
}

func addInbox(cmd *cobra.Command) {
	config.AddFlags(cmd.Flags(), config.General, config.Database)
	addJSON(cmd)
}
