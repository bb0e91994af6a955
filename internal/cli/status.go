package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/store/source"
	"github.com/postroom/postroom/migrations"
)

func newStatus(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "show each source's relay, its backlog, and whether delivery works",
		Long: `status reads each source's state from its tables: the owner of the lease and the time until it
expires, how many events wait and how old the oldest is, and how many events are parked. If a
relay cannot deliver, a line below the table says why.

The exit code is 3 when a source is stopped: no relay holds its lease, or an event that the broker
rejected has halted it.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			c, _, err := load(env, cmd, (*config.Config).CheckSources)
			if err != nil {
				return err
			}
			return status(ctx, env, cmd, c.Sources)
		},
	}
	config.AddFlags(cmd.Flags(), config.General, config.Database)
	addJSON(cmd)
	return cmd
}

// sourceState is an element of `status --json`.
type sourceState struct {
	Source    string       `json:"source"`
	Database  string       `json:"database"`
	SourceID  string       `json:"source_id"`
	State     string       `json:"state"`  // relaying, stopped, halted
	Reason    string       `json:"reason"` // why it is halted, or why its relay cannot deliver
	Owner     string       `json:"owner"`
	Epoch     int64        `json:"epoch"`
	ExpiresAt *time.Time   `json:"lease_expires_at"`
	LeaseLeft float64      `json:"lease_seconds_left"` // negative after it has expired
	Mode      string       `json:"mode"`
	Backlog   int64        `json:"backlog"`
	Estimated bool         `json:"backlog_estimated"`
	Oldest    *oldestEvent `json:"oldest_event"`
	Parked    parkedCounts `json:"parked"`
	Outage    *outage      `json:"outage"` // null while the sink accepts records
}

// outage says why the relay that owns a source cannot deliver. It is set after 10 seconds.
type outage struct {
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
}

// parkedCounts are the numbers of parked rows. Counting stops when their sum is 200,000.
type parkedCounts struct {
	Failed  int64 `json:"failed"`
	Blocked int64 `json:"blocked"`
	Asked   int64 `json:"asked"` // an operator has asked to retry or to drop them
}

type oldestEvent struct {
	ID        int64     `json:"id"`
	EventID   string    `json:"event_id"`
	Topic     string    `json:"topic"`
	CreatedAt time.Time `json:"created_at"`
	Age       float64   `json:"age_seconds"`
}

const (
	stateRelaying = "relaying"
	stateStopped  = "stopped"
	stateHalted   = "halted"
)

func status(ctx context.Context, env *Env, cmd *cobra.Command, sources []config.Source) error {
	states := []sourceState{}
	failed := eachSource(ctx, sources, func(d *database) error {
		if err := d.checkGivenName(ctx); err != nil {
			return err
		}
		s, err := readState(ctx, d)
		if err != nil {
			// The database's error does not say which migrations are missing.
			if missing := d.diagnose(ctx, migrations.OutboxOnly); missing != nil {
				return missing
			}
			if db.IsDenied(err) {
				return fmt.Errorf("%s: permission denied: grant the rights that docs/tables.md lists for the relay: %w",
					d.Redacted, err)
			}
			return fmt.Errorf("%s: %w", d.Redacted, err)
		}
		states = append(states, describe(d, s))
		return nil
	}, dbopen.WithExisting())
	if err := printStatus(env, cmd, states); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	return stopped(states)
}

func readState(ctx context.Context, d *database) (source.State, error) {
	s, err := d.tables()
	if err != nil {
		return source.State{}, err
	}
	return s.State(ctx)
}

func describe(d *database, s source.State) sourceState {
	state := sourceState{
		Source: s.Source, Database: d.Redacted, SourceID: s.SourceID, State: stateRelaying,
		Owner: s.Owner, Epoch: s.Epoch, LeaseLeft: s.LeaseLeft.Seconds(), Mode: s.Mode,
		Backlog: s.Backlog, Estimated: s.Estimated,
		Parked: parkedCounts{s.Parked.Failed, s.Parked.Blocked, s.Parked.Asked},
	}
	if state.Source == "" {
		state.Source = d.source.Name // no relay has run yet
	}
	if !s.ExpiresAt.IsZero() {
		state.ExpiresAt = &s.ExpiresAt
	}
	if o := s.Oldest; o != nil {
		state.Oldest = &oldestEvent{o.ID, o.EventID, o.Topic, o.CreatedAt, o.Age.Seconds()}
	}
	switch {
	case s.Halted != "":
		// The stored reason may begin with the word already.
		state.State, state.Reason = stateHalted, stateHalted+": "+strings.TrimPrefix(s.Halted, stateHalted+": ")
	case s.Owner == "" || s.LeaseLeft <= 0:
		state.State = stateStopped
	default:
		if s.Blind != "" {
			state.Reason = "its owner cannot reach the sink since " + s.Blind
		}
		if s.Outage.Reason != "" {
			state.Outage = &outage{s.Outage.Since, s.Outage.Reason}
		}
	}
	return state
}

func printStatus(env *Env, cmd *cobra.Command, states []sourceState) error {
	if wantsJSON(cmd) {
		return printJSON(env.Stdout, states)
	}
	rows := [][]string{}
	for _, s := range states {
		lease, oldest := "-", "-"
		if s.Owner != "" {
			lease = roughly(seconds(s.LeaseLeft)) + " left"
			if s.LeaseLeft <= 0 {
				lease = "expired " + roughly(seconds(-s.LeaseLeft)) + " ago"
			}
		}
		if s.Oldest != nil {
			oldest = fmt.Sprintf("%s (%s in %s)", roughly(seconds(s.Oldest.Age)), s.Oldest.EventID, s.Oldest.Topic)
		}
		backlog := strconv.FormatInt(s.Backlog, 10)
		if s.Estimated {
			backlog = "about " + backlog
		}
		condition := s.State
		if s.State == stateRelaying && s.Reason != "" {
			condition += " (" + s.Reason + ")"
		}
		rows = append(rows, []string{
			s.Source, condition, dash(s.Owner), strconv.FormatInt(s.Epoch, 10), lease, backlog, oldest,
			s.Parked.text(), s.SourceID, s.Database,
		})
	}
	if len(rows) == 0 {
		return nil
	}
	heading := []string{
		"SOURCE", "STATE", "OWNER", "EPOCH", "LEASE", "BACKLOG", "OLDEST", "PARKED", "SOURCE ID", "DATABASE",
	}
	if err := printTable(env.Stdout, heading, rows); err != nil {
		return err
	}
	return printOutages(env, states)
}

// printOutages prints below the table why relays cannot deliver.
func printOutages(env *Env, states []sourceState) error {
	for _, s := range states {
		if s.Outage == nil {
			continue
		}
		since := s.Outage.Since.Format(time.RFC3339)
		_, err := fmt.Fprintf(env.Stdout, "\nsource %q: delivery is paused since %s: %s\n", s.Source, since,
			s.Outage.Reason)
		if err != nil {
			return err
		}
	}
	return nil
}

// text returns the counts as a cell of the table.
func (c parkedCounts) text() string {
	all := c.Failed + c.Blocked + c.Asked
	if all == 0 {
		return "-"
	}
	var parts []string
	for _, part := range []struct {
		rows  int64
		state string
	}{{c.Failed, "failed"}, {c.Blocked, "blocked"}, {c.Asked, "requested"}} {
		if part.rows > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.rows, part.state))
		}
	}
	if all >= db.CountLimit {
		return "at least " + strings.Join(parts, ", ")
	}
	return strings.Join(parts, ", ")
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// stopped returns an error that names the sources that deliver nothing, and what to do.
func stopped(states []sourceState) error {
	var errs []error
	for _, s := range states {
		switch s.State {
		case stateHalted:
			errs = append(errs, fmt.Errorf("source %q is %s", s.Source, s.Reason))
		case stateStopped:
			errs = append(errs, fmt.Errorf("source %q is stopped, because no relay holds its lease: start `relay run`",
				s.Source))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return foundError{err}
	}
	return nil
}
