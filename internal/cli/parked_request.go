package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/ops"
	"github.com/postroom/postroom/internal/store/parked"
)

func (t *parkedTable) newRetry(env *Env) *cobra.Command {
	cmd := t.retry.command("retry [ID…]")
	chosen := t.selection(cmd.Flags())
	var force bool
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return t.request(env, cmd, args, chosen, parked.Request{State: db.ParkedRetry, Force: force}, nil)
	}
	addParkedFlags(cmd)
	cmd.Flags().BoolVar(&chosen.all, "all", false, t.retry.all)
	if t.overtakes {
		cmd.Flags().BoolVar(&force, "force", false, "send overtaken events too")
	}
	return cmd
}

func (t *parkedTable) newDrop(env *Env) *cobra.Command {
	cmd := t.drop.command("drop [ID…]")
	chosen := t.selection(cmd.Flags())
	var reason string
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var wrong error
		if reason = strings.TrimSpace(reason); reason == "" {
			wrong = fmt.Errorf("--reason: say why these %s may be lost: %s", t.many, t.drop.flag)
		}
		return t.request(env, cmd, args, chosen, parked.Request{State: db.ParkedDrop, Reason: reason}, wrong)
	}
	addParkedFlags(cmd)
	cmd.Flags().BoolVar(&chosen.all, "all", false, t.drop.all)
	usage := "`text`: why they may be lost; required"
	if !t.ofConsumers {
		usage += ", and recorded"
	}
	cmd.Flags().StringVar(&reason, "reason", "", usage)
	return cmd
}

func (t *parkedTable) request(
	env *Env, cmd *cobra.Command, args []string, chosen *selection, r parked.Request, wrong error,
) error {
	ids, badIDs := t.ids(args)
	r.IDs, r.Filter = ids, chosen.filter()
	wrong = errors.Join(wrong, badIDs, chosen.check(args))
	return t.on(env, cmd, wrong, func(ctx context.Context, d *database, s *parked.Store) error {
		answer, err := s.Request(ctx, r)
		if err != nil || !answer.Found {
			err = errors.Join(t.known(ctx, d, chosen.consumer), err)
		}
		if err != nil {
			return err
		}
		if !answer.Found && !chosen.all {
			return fmt.Errorf("%s: see %s list", chosen.what(), t.Command)
		}
		told, err := t.answer(ctx, d, r, answer)
		if err != nil {
			return err
		}
		if wantsJSON(cmd) {
			return printJSON(env.Stdout, told.json)
		}
		_, err = fmt.Fprintln(env.Stdout, t.answerText(r.State, answer, chosen, told))
		return err
	})
}

// parkedAnswer says what a request did, in words for one of the tables.
type parkedAnswer struct {
	json  any
	does  map[string]string // what happens to the rows, by state
	owner string            // who does it, if that is not clear; with a comma or a space before it
	later string            // an additional line: it does not happen now
}

func (t *parkedTable) answerText(state string, answer parked.Answer, chosen *selection, told parkedAnswer) string {
	text := fmt.Sprintf("%s to be %s%s", countOf(answer.Marked, t.One), told.does[state], told.owner)
	switch {
	case !answer.Found:
		return "nothing to do: " + chosen.what()
	case answer.Marked == 0:
		text = fmt.Sprintf("nothing to do: what is named is to be %s already, or follows by itself", told.does[state])
	case answer.Followers == 1:
		text += "; 1 waits behind and follows"
	case answer.Followers > 1:
		text += fmt.Sprintf("; %s wait behind and follow", ops.AtLeast(answer.Followers))
	}
	return text + told.later
}

// atLeastOf does what countOf does, for a count that stops at a limit.
func atLeastOf(n int64, what string) string {
	if n >= db.CountLimit {
		return ops.AtLeast(n) + " " + what + "s"
	}
	return countOf(n, what)
}
