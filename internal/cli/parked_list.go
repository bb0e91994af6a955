package cli

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dialect"
)

func newParkedList(env *Env) *cobra.Command {
	var (
		chosen selection
		state  string
		limit  int
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list parked events, in the order in which they would be sent again",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			c, err := loadParked(env, cmd, checkList(state, limit))
			if err != nil {
				return err
			}
			f := chosen.filter()
			f.State = state
			all, more := []parkedEntry{}, false
			failed := eachSource(ctx, c.Sources, func(d *database) error {
				if err := d.checkGivenName(ctx); err != nil {
					return err
				}
				entries, cut, err := dialect.ListParked(ctx, d.DB, d.names(), f, limit)
				for _, e := range entries {
					all = append(all, entryOf(d, e))
				}
				more = more || cut
				return tableError(ctx, d, err)
			}, dbopen.WithExisting())
			if err := printParked(env, cmd, all, len(c.Sources) > 1); err != nil {
				return err
			}
			if len(all) == 0 && failed == nil {
				sayEmpty(env, cmd, chosen.what()+inState(state))
			}
			if more {
				_, _ = fmt.Fprintf(env.Stderr, "there are more than these %d: choose by --topic, --key or --state, or raise --limit\n", limit)
			}
			return failed
		},
	}
	config.AddFlags(cmd.Flags(), config.General, config.Database)
	chosen.add(cmd.Flags())
	cmd.Flags().StringVar(&state, "state", "", "`state`: "+strings.Join(parkedStates(), ", "))
	cmd.Flags().IntVar(&limit, "limit", 100, "list this `number` of events of each source at the most")
	addJSON(cmd)
	return cmd
}

// inState is the end of a sentence about what --state chooses.
func inState(state string) string {
	if state == "" {
		return ""
	}
	return fmt.Sprintf(" in state %q", state)
}

func parkedStates() []string {
	return []string{dialect.ParkFailed, dialect.ParkBlocked, dialect.ParkRetry, dialect.ParkDrop}
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

// parkedEntry is an element of `parked list --json`, and most of `parked show --json`.
type parkedEntry struct {
	Source    string    `json:"source"`
	Seq       int64     `json:"seq"`
	State     string    `json:"state"`
	Overtaken bool      `json:"overtaken"`
	ID        int64     `json:"id"` // of the row that it was in outbox_events
	EventID   string    `json:"event_id"`
	Topic     string    `json:"topic"`
	Key       *string   `json:"key"` // null: none, or no text
	KeyBase64 string    `json:"key_base64,omitempty"`
	Type      string    `json:"type"`
	Attempts  int       `json:"attempts"`
	Error     string    `json:"error"`
	ParkedAt  time.Time `json:"parked_at"`
	CreatedAt time.Time `json:"created_at"`
	Payload   *int64    `json:"payload_bytes"` // null: no payload
}

func entryOf(d *database, e dialect.ParkedEntry) parkedEntry {
	p := parkedEntry{
		Source: d.source.Name, Seq: e.Seq, State: e.State, Overtaken: e.Overtaken, ID: e.ID, EventID: e.EventID,
		Topic: e.Topic, Type: e.Type, Attempts: e.Attempts, Error: e.Error, ParkedAt: e.ParkedAt, CreatedAt: e.CreatedAt,
	}
	if e.PayloadSize >= 0 {
		p.Payload = &e.PayloadSize
	}
	if key := string(e.Key); e.Key != nil && utf8.ValidString(key) {
		p.Key = &key
	} else if e.Key != nil {
		p.KeyBase64 = base64.StdEncoding.EncodeToString(e.Key)
	}
	return p
}

// shownKey is a key as text for people.
func (p parkedEntry) shownKey() string {
	switch {
	case p.Key != nil:
		return printable(*p.Key)
	case p.KeyBase64 != "":
		return "base64:" + p.KeyBase64
	}
	return "-"
}

func (p parkedEntry) shownState() string {
	if p.Overtaken {
		return p.State + ", overtaken"
	}
	return p.State
}

func printParked(env *Env, cmd *cobra.Command, all []parkedEntry, named bool) error {
	if wantsJSON(cmd) {
		return printJSON(env.Stdout, all)
	}
	if len(all) == 0 {
		return nil
	}
	heading := []string{"SEQ", "STATE", "TOPIC", "KEY", "TYPE", "EVENT ID", "ATTEMPTS", "PARKED AT", "ERROR"}
	if named {
		heading = append([]string{"SOURCE"}, heading...)
	}
	rows := make([][]string, len(all))
	for i, p := range all {
		rows[i] = []string{
			strconv.FormatInt(p.Seq, 10), p.shownState(), printable(p.Topic), p.shownKey(), dash(printable(p.Type)), p.EventID,
			strconv.Itoa(p.Attempts), p.ParkedAt.UTC().Format(time.RFC3339), short(printable(p.Error), 100),
		}
		if named {
			rows[i] = append([]string{p.Source}, rows[i]...)
		}
	}
	return printTable(env.Stdout, heading, rows)
}

// printable makes a text safe for a cell and a terminal: what does not print, or could be
// mistaken for nothing, is quoted.
func printable(s string) string {
	odd := func(r rune) bool { return !unicode.IsPrint(r) }
	if s == "" || s == "-" || strings.ContainsFunc(s, odd) || strings.TrimSpace(s) != s {
		return strconv.Quote(s)
	}
	return s
}

// short cuts a text to so many characters.
func short(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}

// shownHeaders are a JSON object's members, one line each.
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
