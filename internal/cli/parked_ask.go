package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/dialect"
)

func newParkedRetry(env *Env) *cobra.Command {
	var (
		chosen selection
		force  bool
	)
	cmd := &cobra.Command{
		Use:   "retry [ID…]",
		Short: "have parked events sent again, in the order of their keys",
		Long: `retry has the relay send parked events again: those that are named, or all refused ones of a
topic, of a key, or of the source. When a key's refused event was delivered, the events that
wait behind it follow by themselves, before newer ones.

An event that is overtaken is sent only with --force: later events of its key were delivered
before it, and consumers may see an old value last.`,
		Example: `  relay parked retry 17
  relay parked retry --topic orders --key customer-42
  relay parked retry --all`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return askParked(env, cmd, args, &chosen, dialect.ParkedAsk{State: dialect.ParkRetry, Force: force}, nil)
		},
	}
	config.AddFlags(cmd.Flags(), config.General, config.Database)
	chosen.add(cmd.Flags())
	chosen.addAll(cmd.Flags(), "all refused events of the source")
	cmd.Flags().BoolVar(&force, "force", false, "send overtaken events too")
	addJSON(cmd)
	return cmd
}

func newParkedDrop(env *Env) *cobra.Command {
	var (
		chosen selection
		reason string
	)
	cmd := &cobra.Command{
		Use:   "drop [ID…]",
		Short: "give parked events up: they are deleted, and recorded",
		Long: `drop has the relay delete parked events without sending them: those that are named, or all of
a topic, of a key, or of the source. Consumers never get them. The events that wait behind a
dropped one are then sent.

What is dropped is recorded in outbox_drops, without its payload: the event's id, topic and
key, the reason and the error. Until the relay has done it, 'relay parked retry' takes it back.`,
		Example: `  relay parked drop 17 --reason 'test order, agreed with billing'
  relay parked drop --topic orders --key customer-42 --reason 'account was deleted'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var wrong error
			if reason = strings.TrimSpace(reason); reason == "" {
				wrong = errors.New("--reason: say why these events may be lost: it is recorded with them")
			}
			return askParked(env, cmd, args, &chosen, dialect.ParkedAsk{State: dialect.ParkDrop, Reason: reason}, wrong)
		},
	}
	config.AddFlags(cmd.Flags(), config.General, config.Database)
	chosen.add(cmd.Flags())
	chosen.addAll(cmd.Flags(), "all parked events of the source, waiting ones too")
	cmd.Flags().StringVar(&reason, "reason", "", "`text`: why they may be lost; required, and recorded")
	addJSON(cmd)
	return cmd
}

// askedOf is what `parked retry --json` and `parked drop --json` print.
type askedOf struct {
	Source    string `json:"source"`
	Ask       string `json:"ask"`       // retry, drop
	Marked    int64  `json:"marked"`    // events whose state was set
	Followers int64  `json:"followers"` // events that wait behind them
	Owned     bool   `json:"owned"`     // a relay holds the lease, and does it now
}

func askParked(env *Env, cmd *cobra.Command, args []string, chosen *selection, ask dialect.ParkedAsk, wrong error) error {
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	ids, badIDs := parkedIDs(args)
	c, err := loadParked(env, cmd, errors.Join(wrong, badIDs, chosen.check(args)))
	if err != nil {
		return err
	}
	ask.IDs, ask.Filter = ids, chosen.filter()
	return onSource(ctx, c, func(d *database) error {
		answer, err := dialect.AskParked(ctx, d.DB, d.names(), ask)
		if err != nil {
			return tableError(ctx, d, err)
		}
		if !answer.Found && !chosen.all {
			return fmt.Errorf("%s: see relay parked list", chosen.what())
		}
		return printAsked(ctx, env, cmd, d, ask, answer)
	})
}

func printAsked(ctx context.Context, env *Env, cmd *cobra.Command, d *database, ask dialect.ParkedAsk, answer dialect.ParkedAnswer) error {
	owned, err := dialect.Owned(ctx, d.DB, d.names())
	if err != nil {
		return tableError(ctx, d, err)
	}
	if wantsJSON(cmd) {
		return printJSON(env.Stdout, askedOf{d.source.Name, ask.State, answer.Marked, answer.Followers, owned})
	}
	if !answer.Found {
		_, err := fmt.Fprintln(env.Stdout, "nothing to do: no event is parked")
		return err
	}
	does := map[string]string{dialect.ParkRetry: "sent again", dialect.ParkDrop: "dropped"}[ask.State]
	text := fmt.Sprintf("%s to be %s", events(answer.Marked), does)
	if answer.Marked == 0 {
		text = fmt.Sprintf("nothing to do: what is named is to be %s already, or follows by itself", does)
	}
	switch {
	case answer.Followers == 1:
		text += "; 1 waits behind and follows"
	case answer.Followers > 1:
		text += fmt.Sprintf("; %s wait behind and follow", atLeast(answer.Followers))
	}
	if _, err := fmt.Fprintln(env.Stdout, text); err != nil {
		return err
	}
	if !owned {
		_, err := fmt.Fprintf(env.Stdout, "no relay owns source %q now: it happens once `relay run` does\n", d.source.Name)
		return err
	}
	return nil
}

func events(n int64) string {
	if n == 1 {
		return "1 event"
	}
	return fmt.Sprintf("%d events", n)
}

// atLeast is a count that stops where counting would take seconds.
func atLeast(n int64) string {
	if n >= dialect.CountLimit {
		return fmt.Sprintf("%d or more", n)
	}
	return strconv.FormatInt(n, 10)
}

// atLeastOf is countOf for a count that stops at a limit.
func atLeastOf(n int64, what string) string {
	if n >= dialect.CountLimit {
		return atLeast(n) + " " + what + "s"
	}
	return countOf(n, what)
}
