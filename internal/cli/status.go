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
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dialect"
	"github.com/postroom/postroom/migrations"
)

func newStatus(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "show who relays a source, its backlog, and whether it is stopped",
		Long: `status reads each source's state from its tables: who holds the lease and for how long,
how many events wait and since when, and how many are parked. It ends with exit code 3 when
a source is stopped: no relay holds its lease, or it was halted by an event that the broker
refused. Below the table stands what a relay waits for that cannot deliver.`,
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
	Reason    string       `json:"reason"` // of halted, or why a relay cannot deliver
	Owner     string       `json:"owner"`
	Epoch     int64        `json:"epoch"`
	ExpiresAt *time.Time   `json:"lease_expires_at"`
	LeaseLeft float64      `json:"lease_seconds_left"` // negative: expired since
	Mode      string       `json:"mode"`
	Backlog   int64        `json:"backlog"`
	Estimated bool         `json:"backlog_estimated"`
	Oldest    *oldestEvent `json:"oldest_event"`
	Parked    parkedCounts `json:"parked"`
	Outage    *outage      `json:"outage"` // null: the sink takes what it is given
}

// outage is why a relay that owns a source cannot deliver, for 10 seconds or longer.
type outage struct {
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
}

// parkedCounts stop at 200,000 together.
type parkedCounts struct {
	Failed  int64 `json:"failed"`
	Blocked int64 `json:"blocked"`
	Asked   int64 `json:"asked"` // to be sent again or dropped
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
		s, err := dialect.Status(ctx, d.DB, d.names())
		if err != nil {
			// It says it better when it is the tables that are missing.
			if missing := d.diagnose(ctx, migrations.OutboxOnly); missing != nil {
				return missing
			}
			if dialect.IsDenied(err) {
				return fmt.Errorf("%s: this user lacks a right: grant what docs/tables.md lists for the relay: %w", d.Redacted, err)
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

func describe(d *database, s dialect.SourceStatus) sourceState {
	state := sourceState{
		Source: s.Source, Database: d.Redacted, SourceID: s.SourceID, State: stateRelaying,
		Owner: s.Owner, Epoch: s.Epoch, LeaseLeft: s.LeaseLeft.Seconds(), Mode: s.Mode,
		Backlog: s.Backlog, Estimated: s.Estimated,
		Parked: parkedCounts{s.Parked.Failed, s.Parked.Blocked, s.Parked.Asked},
	}
	if state.Source == "" {
		state.Source = d.source.Name // no relay has set it yet
	}
	if !s.ExpiresAt.IsZero() {
		state.ExpiresAt = &s.ExpiresAt
	}
	if o := s.Oldest; o != nil {
		state.Oldest = &oldestEvent{o.ID, o.EventID, o.Topic, o.CreatedAt, o.Age.Seconds()}
	}
	switch {
	case s.Halted != "":
		// The relay's own word for it starts the reason.
		state.State, state.Reason = stateHalted, stateHalted+": "+strings.TrimPrefix(s.Halted, stateHalted+": ")
	case s.Owner == "" || s.LeaseLeft <= 0:
		state.State = stateStopped
	default:
		if s.Blind != "" {
			state.Reason = "its owner has not reached the sink since " + s.Blind
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
		rows = append(rows, []string{s.Source, condition, dash(s.Owner), strconv.FormatInt(s.Epoch, 10), lease, backlog, oldest, s.Parked.text(), s.SourceID, s.Database})
	}
	if len(rows) == 0 {
		return nil
	}
	if err := printTable(env.Stdout, []string{"SOURCE", "STATE", "OWNER", "EPOCH", "LEASE", "BACKLOG", "OLDEST", "PARKED", "SOURCE ID", "DATABASE"}, rows); err != nil {
		return err
	}
	return printOutages(env, states)
}

// printOutages says below the table what relays wait for.
func printOutages(env *Env, states []sourceState) error {
	for _, s := range states {
		if s.Outage == nil {
			continue
		}
		since := s.Outage.Since.Format(time.RFC3339)
		if _, err := fmt.Fprintf(env.Stdout, "\nsource %q: delivery is paused since %s: %s\n", s.Source, since, s.Outage.Reason); err != nil {
			return err
		}
	}
	return nil
}

// text is a cell of the table.
func (c parkedCounts) text() string {
	all := c.Failed + c.Blocked + c.Asked
	if all == 0 {
		return "-"
	}
	var parts []string
	for _, part := range []struct {
		rows  int64
		state string
	}{{c.Failed, "failed"}, {c.Blocked, "blocked"}, {c.Asked, "asked for"}} {
		if part.rows > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.rows, part.state))
		}
	}
	if all >= dialect.CountLimit {
		return "at least " + strings.Join(parts, ", ")
	}
	return strings.Join(parts, ", ")
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// stopped says which sources do not move, and what to do.
func stopped(states []sourceState) error {
	var errs []error
	for _, s := range states {
		switch s.State {
		case stateHalted:
			errs = append(errs, fmt.Errorf("source %q is %s", s.Source, s.Reason))
		case stateStopped:
			errs = append(errs, fmt.Errorf("source %q is stopped, no relay holds its lease: start `relay run`", s.Source))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return foundError{err}
	}
	return nil
}
