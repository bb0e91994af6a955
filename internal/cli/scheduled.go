package cli

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbopen"
	outboxstore "github.com/postroom/postroom/internal/store/outbox"
	"github.com/postroom/postroom/internal/store/source"
	"github.com/postroom/postroom/migrations"
)

func newScheduled(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scheduled",
		Short: "list and cancel events that are scheduled for a later delivery",
		Long: `scheduled is about events that have a time of delivery. They wait in the table outbox_scheduled.
At their time, the relay that owns the source moves them to outbox_events.`,
	}
	group(cmd)
	cmd.AddCommand(newScheduledList(env), newScheduledCancel(env))
	return cmd
}

func newScheduledList(env *Env) *cobra.Command {
	var topic string
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list scheduled events, the earliest first",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			c, _, err := load(env, cmd, func(c *config.Config) error {
				return errors.Join(c.CheckSources(), checkLimit(limit))
			})
			if err != nil {
				return err
			}
			all, more := []scheduledEntry{}, false
			failed := eachSource(ctx, c.Sources, func(d *database) error {
				if err := d.checkGivenName(ctx); err != nil {
					return err
				}
				s, err := d.tables()
				if err != nil {
					return err
				}
				entries, cut, err := s.ListScheduled(ctx, topic, limit)
				for _, e := range entries {
					all = append(all, scheduledOf(d, e))
				}
				more = more || cut
				return scheduledError(ctx, d, err)
			}, dbopen.WithExisting())
			if err := printScheduled(env, cmd, all, len(c.Sources) > 1); err != nil {
				return err
			}
			if len(all) == 0 && failed == nil {
				nothing := "no event is scheduled"
				if topic != "" {
					nothing = fmt.Sprintf("no event of topic %q is scheduled", topic)
				}
				sayEmpty(env, cmd, nothing)
			}
			if more {
				_, _ = fmt.Fprintf(env.Stderr, "there are more than these %d: select with --topic, or raise --limit\n",
					limit)
			}
			return failed
		},
	}
	config.AddFlags(cmd.Flags(), config.General, config.Database)
	cmd.Flags().StringVar(&topic, "topic", "", "`topic` of the events")
	cmd.Flags().IntVar(&limit, "limit", 100, "largest `number` of events to list per source")
	addJSON(cmd)
	return cmd
}

// scheduledEntry is an element of `scheduled list --json`.
type scheduledEntry struct {
	Source    string    `json:"source"`
	Seq       int64     `json:"seq"`
	EventID   string    `json:"event_id"`
	Topic     string    `json:"topic"`
	Key       *string   `json:"key"` // null: no key, or one that is not text
	KeyBase64 string    `json:"key_base64,omitempty"`
	Type      string    `json:"type"`
	DeliverAt time.Time `json:"deliver_at"`
	DueIn     float64   `json:"due_in_seconds"` // by the database's clock; negative after its time
	CreatedAt time.Time `json:"created_at"`
	Payload   *int64    `json:"payload_bytes"` // null: no payload
}

func scheduledOf(d *database, e source.ScheduledEntry) scheduledEntry {
	s := scheduledEntry{
		Source: d.source.Name, Seq: e.Seq, EventID: e.EventID, Topic: e.Topic, Type: e.Type,
		DeliverAt: e.DeliverAt.UTC(), DueIn: e.DueIn.Seconds(), CreatedAt: e.CreatedAt.UTC(),
	}
	if e.PayloadSize >= 0 {
		s.Payload = &e.PayloadSize
	}
	if key := string(e.Key); e.Key != nil && utf8.ValidString(key) {
		s.Key = &key
	} else if e.Key != nil {
		s.KeyBase64 = base64.StdEncoding.EncodeToString(e.Key)
	}
	return s
}

func printScheduled(env *Env, cmd *cobra.Command, all []scheduledEntry, named bool) error {
	if wantsJSON(cmd) {
		return printJSON(env.Stdout, all)
	}
	if len(all) == 0 {
		return nil
	}
	heading := []string{"DELIVER AT", "DUE", "TOPIC", "KEY", "TYPE", "EVENT ID", "BYTES"}
	if named {
		heading = append([]string{"SOURCE"}, heading...)
	}
	rows := make([][]string, len(all))
	for i, s := range all {
		due, bytes := "in "+roughly(seconds(s.DueIn)), "tombstone"
		if s.DueIn <= 0 {
			due = "for " + roughly(seconds(-s.DueIn))
		}
		if s.Payload != nil {
			bytes = strconv.FormatInt(*s.Payload, 10)
		}
		key := shownKey(s.Key, s.KeyBase64)
		rows[i] = []string{
			s.DeliverAt.Format(time.RFC3339Nano), due, printable(s.Topic), key, dash(printable(s.Type)), s.EventID,
			bytes,
		}
		if named {
			rows[i] = append([]string{s.Source}, rows[i]...)
		}
	}
	return printTable(env.Stdout, heading, rows)
}

func newScheduledCancel(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cancel EVENT-ID…",
		Short: "cancel scheduled events: they are deleted, and never delivered",
		Long: `cancel deletes scheduled events by their ids. An event that is no longer scheduled cannot be
cancelled: it was delivered or soon will be, was cancelled before, or was never scheduled. Then
cancel still deletes the others, and the exit code is 1. relay trace shows what happened to an event.

If a transaction of an application has locked the event, cancel waits for it.`,
		Example: `  relay scheduled cancel 018f3c1e-8f2a-7000-8000-000000000001`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("name the events by their ids, as relay scheduled list shows them")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			ids, wrong := eventIDs(args)
			c, _, err := load(env, cmd, func(c *config.Config) error { return errors.Join(c.CheckSources(), wrong) })
			if err != nil {
				return err
			}
			return onSource(ctx, c, func(d *database) error { return cancelScheduled(ctx, env, cmd, d, ids) })
		},
	}
	config.AddFlags(cmd.Flags(), config.General, config.Database)
	addJSON(cmd)
	return cmd
}

func eventIDs(args []string) (ids []uuid.UUID, err error) {
	var errs []error
	for _, arg := range args {
		id, err := parseEventID(arg)
		ids, errs = append(ids, id), append(errs, err)
	}
	return ids, errors.Join(errs...)
}

// cancelledOf is what `scheduled cancel --json` prints.
type cancelledOf struct {
	Source    string      `json:"source"`
	Cancelled []uuid.UUID `json:"cancelled"`
	NotThere  []uuid.UUID `json:"not_scheduled"`
}

func cancelScheduled(ctx context.Context, env *Env, cmd *cobra.Command, d *database, ids []uuid.UUID) error {
	ob, err := outboxstore.New(d.names())
	if err != nil {
		return err
	}
	done := cancelledOf{Source: d.source.Name, Cancelled: []uuid.UUID{}, NotThere: []uuid.UUID{}}
	for _, id := range ids {
		n, err := ob.Cancel(ctx, d.DB, []uuid.UUID{id})
		switch {
		case err != nil:
			return fmt.Errorf("cancel event %s (%d cancelled before it): %w", id, len(done.Cancelled),
				scheduledError(ctx, d, err))
		case n > 0:
			done.Cancelled = append(done.Cancelled, id)
		default:
			done.NotThere = append(done.NotThere, id)
		}
	}
	if wantsJSON(cmd) {
		err = printJSON(env.Stdout, done)
	} else {
		_, err = fmt.Fprintf(env.Stdout, "%s cancelled\n", countOf(int64(len(done.Cancelled)), "event"))
	}
	if err == nil && len(done.NotThere) > 0 {
		texts := make([]string, len(done.NotThere))
		for i, id := range done.NotThere {
			texts[i] = id.String()
		}
		err = fmt.Errorf("not scheduled, or no longer scheduled: %s: see relay trace %s", strings.Join(texts, ", "),
			texts[0])
	}
	return err
}

// scheduledError explains a missing table and a missing right.
func scheduledError(ctx context.Context, d *database, err error) error {
	table := d.names().Plain(db.Scheduled)
	if db.IsMissingTable(err) {
		if missing := d.diagnose(ctx, migrations.OutboxOnly); missing != nil {
			return missing
		}
		return fmt.Errorf("%s: table %s does not exist, the tables are those of an older version: run `%s`",
			d.Redacted, table, d.migrateUp())
	}
	if db.IsDenied(err) {
		return fmt.Errorf("%s: permission denied: this user needs SELECT and DELETE on %s, see docs/tables.md: %w",
			d.Redacted, table, err)
	}
	return err
}
