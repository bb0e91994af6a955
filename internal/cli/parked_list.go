package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/store/parked"
)

func (t *parkedTable) newList(env *Env) *cobra.Command {
	cmd := t.list.command("list")
	cmd.Args = noArgs
	chosen := t.selection(cmd.Flags())
	var (
		state string
		limit int
	)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, stop := untilSignal(cmd.Context())
		defer stop()
		c, err := loadParked(env, cmd, errors.Join(checkList(state, limit), chosen.checkConsumer()))
		if err != nil {
			return err
		}
		f := chosen.filter()
		f.State = state
		var all listed
		more := false
		failed := t.each(ctx, c, func(d *database) error {
			s, err := t.open(d.DB, d.names())
			if err != nil {
				return err
			}
			entries, cut, err := s.List(ctx, f, limit)
			if err == nil && len(entries) == 0 {
				err = t.known(ctx, d, chosen.consumer)
			}
			all.add(d.source.Name, entries)
			more = more || cut
			return err
		})
		// The rows of the other sources are printed. There is only one inbox.
		if failed != nil && t.ofConsumers {
			return failed
		}
		if err := t.print(env, cmd, all, len(c.Sources) > 1 && !t.ofConsumers); err != nil {
			return err
		}
		if len(all) == 0 && failed == nil {
			sayEmpty(env, cmd, chosen.what()+inState(state))
		}
		if more {
			_, _ = fmt.Fprintf(
				env.Stderr, "there are more than these %d: choose by %s, or raise --limit\n", limit, t.list.flag,
			)
		}
		return failed
	}
	addParkedFlags(cmd)
	cmd.Flags().StringVar(&state, "state", "", "`state`: "+strings.Join(parkedStates(), ", "))
	cmd.Flags().IntVar(&limit, "limit", 100, "list this `number` of "+t.list.all+" at the most")
	return cmd
}

// listed has the rows of one list.
type listed []listedRow

type listedRow struct {
	source string
	parked.Entry
}

func (l *listed) add(source string, entries []parked.Entry) {
	for _, e := range entries {
		*l = append(*l, listedRow{source, e})
	}
}

func (t *parkedTable) print(env *Env, cmd *cobra.Command, all listed, named bool) error {
	if wantsJSON(cmd) {
		views := make([]any, len(all))
		for i, row := range all {
			views[i] = t.view(row.source, row.Entry)
		}
		return printJSON(env.Stdout, views)
	}
	if len(all) == 0 {
		return nil
	}
	heading := t.columns
	if named {
		heading = append([]string{"SOURCE"}, heading...)
	}
	rows := make([][]string, len(all))
	for i, row := range all {
		rows[i] = t.cells(row.Entry)
		if named {
			rows[i] = append([]string{row.source}, rows[i]...)
		}
	}
	return printTable(env.Stdout, heading, rows)
}

// inState returns the end of a sentence that names the state of --state.
func inState(state string) string {
	if state == "" {
		return ""
	}
	return fmt.Sprintf(" in state %q", state)
}

func parkedStates() []string {
	return []string{db.ParkedFailed, db.ParkedBlocked, db.ParkedRetry, db.ParkedDrop}
}

func checkList(state string, limit int) error {
	if state != "" && !slices.Contains(parkedStates(), state) {
		return fmt.Errorf("--state: %q is not known: use %s", state, strings.Join(parkedStates(), ", "))
	}
	return checkLimit(limit)
}

func checkLimit(limit int) error {
	if limit < 1 || limit > 1_000_000 {
		return fmt.Errorf("--limit: %d is out of range: want 1 to 1000000", limit)
	}
	return nil
}

// printable makes a text safe for a cell and a terminal. It quotes characters that do not print, and text
// that could be taken for an empty cell.
func printable(s string) string {
	odd := func(r rune) bool { return !unicode.IsPrint(r) }
	if s == "" || s == "-" || strings.ContainsFunc(s, odd) || strings.TrimSpace(s) != s {
		return strconv.Quote(s)
	}
	return s
}

// short cuts a text to at most most characters.
func short(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}

// shownHeaders returns the members of a JSON object, one in each line.
func shownHeaders(object string) []string {
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(object), &members) != nil || len(members) == 0 {
		return nil
	}
	lines := make([]string, 0, len(members))
	for name, value := range members {
		var text string
		if json.Unmarshal(value, &text) != nil {
			text = string(value)
		}
		lines = append(lines, printable(name)+": "+printable(text))
	}
	slices.Sort(lines)
	return lines
}
