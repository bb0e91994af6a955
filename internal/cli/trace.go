package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbopen"
	inboxstore "github.com/postroom/postroom/internal/store/inbox"
	"github.com/postroom/postroom/internal/store/source"
	"github.com/postroom/postroom/migrations"
)

func newTrace(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trace EVENT-ID",
		Short: "show where one event is, and what happened to it",
		Long: `trace looks for an event in every table of each source. It shows whether the event was scheduled,
waits, is parked, was dropped or was delivered, and at what time. For a delivered event it shows the
Kafka partition and offset. This needs the archive: without relay run --archive, nothing is left of
an event after its delivery.

With --inbox-database-url it also reads a consumer's inbox. It shows which consumers have handled
the event, are trying to, or have parked it. "Handled" means that the event was applied, or that it
was parked and later retried or dropped: the inbox keeps one row for all of these, with the time of
the first. The consumer's log says which one it was.

If trace does not find the event, it says what that can mean: how far back the archive goes, and
when the event's id was made, if the id contains the time (the ids of outbox.Add do). A cancelled
event leaves no trace.

trace changes nothing. The exit code is 3 when the event was not found.`,
		Example: `  relay trace 018f3c1e-8f2a-7000-8000-000000000001
  POSTROOM_INBOX_DATABASE_URL_FILE=/run/secrets/billing-db relay trace 018f3c1e-8f2a-7000-8000-000000000001`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("name one event by its id, for example " +
					"relay trace 018f3c1e-8f2a-7000-8000-000000000001")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			id, wrong := parseEventID(args[0])
			c, _, err := load(env, cmd, func(c *config.Config) error {
				return errors.Join(c.CheckSources(), c.CheckInbox(), wrong)
			})
			if err != nil {
				return err
			}
			return trace(ctx, env, cmd, c, id)
		},
	}
	config.AddFlags(cmd.Flags(), config.General, config.Database, config.Consuming)
	addJSON(cmd)
	return cmd
}

// traced is what `trace --json` prints.
type traced struct {
	EventID string   `json:"event_id"`
	Found   bool     `json:"found"`
	Steps   []step   `json:"steps"` // by time
	Hints   []string `json:"hints"` // why the event may not be found, or what it waits for

	madeAt time.Time // taken from a version 7 id; zero for other ids
}

// step is one thing that is known about the event.
type step struct {
	At   *time.Time `json:"at"` // null: not known
	Step string     `json:"step"`
	// Where is the place that has it: a source's name, or inbox.
	Where string `json:"where"`

	Row       int64  `json:"row,omitempty"` // id in outbox_events
	Topic     string `json:"topic,omitempty"`
	Key       string `json:"key,omitempty"`
	Type      string `json:"type,omitempty"`
	Partition *int32 `json:"partition,omitempty"`
	Offset    *int64 `json:"offset,omitempty"`
	State     string `json:"state,omitempty"`
	Attempts  int    `json:"attempts,omitempty"`
	Ahead     int64  `json:"ahead,omitempty"`
	Consumer  string `json:"consumer,omitempty"`
	Error     string `json:"error,omitempty"`

	detail string
}

// Names of steps.
const (
	stepWritten   = "written"
	stepScheduled = "scheduled"
	stepWaiting   = "waiting"
	stepParked    = "parked"
	stepDelivered = "delivered"
	stepDropped   = "dropped"
	stepTried     = "tried"
	stepHandled   = "handled"
	stepSetAside  = "parked by consumer"
)

func trace(ctx context.Context, env *Env, cmd *cobra.Command, c *config.Config, id uuid.UUID) error {
	t := &traced{EventID: id.String(), Steps: []step{}, Hints: []string{}}
	if id.Version() == 7 {
		t.madeAt = time.Unix(id.Time().UnixTime())
	}
	failed := eachSource(ctx, c.Sources, func(d *database) error {
		if err := d.checkGivenName(ctx); err != nil {
			return err
		}
		store, err := d.tables()
		if err != nil {
			return err
		}
		found, err := store.Trace(ctx, id)
		if err != nil {
			return archiveError(ctx, d, err)
		}
		var missing error
		if len(found.Missing) > 0 {
			missing = d.diagnose(ctx, migrations.OutboxOnly)
		}
		if missing == nil || len(found.Found) > 0 {
			t.add(d, found)
		}
		return missing
	}, dbopen.WithExisting())
	failed = errors.Join(failed, t.addInbox(ctx, c.Inbox))
	t.finish(c)
	if err := t.print(env, cmd); err != nil || failed != nil {
		return errors.Join(failed, err)
	}
	if !t.Found {
		return foundError{fmt.Errorf("event %s was not found: the lines above say which places were searched; "+
			"relay trace --help lists the flags for an inbox", id)}
	}
	return nil
}

// add adds what a source's tables say about the event.
func (t *traced) add(d *database, found source.Trace) {
	written := map[time.Time]bool{} // a replayed event is found twice, and was written once
	for _, f := range found.Found {
		if !f.CreatedAt.IsZero() && !written[f.CreatedAt] {
			written[f.CreatedAt] = true
			t.Steps = append(t.Steps, step{
				At: &f.CreatedAt, Step: stepWritten, Where: d.source.Name, Topic: f.Topic, Key: keyText(f.Key),
				Type:   f.Type,
				detail: writtenDetail(f),
			})
		}
		t.Steps = append(t.Steps, t.stepOf(d, f))
	}
	if len(found.Found) > 0 {
		return
	}
	t.unknown(d, found.Missing, found.ArchivedSince)
}

// unknown adds a hint for a source that does not have the event: what that can mean.
func (t *traced) unknown(d *database, missing []string, archivedSince time.Time) {
	name := d.source.Name
	const others = "it was cancelled, or its transaction has not committed or was rolled back, or it was never " +
		"written here"
	switch {
	case slices.Contains(missing, db.Archive):
		t.hint("source %q has no archive: run `%s`, and then relay run --archive", name, d.migrateUp())
	case archivedSince.IsZero():
		t.hint("the archive of source %q is empty: without relay run --archive, a delivered event leaves no trace; "+
			"otherwise %s", name, others)
	case t.madeAt.After(archivedSince):
		t.hint("the archive of source %q goes back to %s, and the event's id was made at %s: "+
			"no relay with --archive has delivered it; %s", name, when(archivedSince), when(t.madeAt), others)
	default:
		t.hint("the archive of source %q goes back to %s: the event may have been delivered before that; otherwise %s",
			name, when(archivedSince), others)
	}
}

func (t *traced) stepOf(d *database, f source.Found) step {
	s := step{
		Where: d.source.Name, Row: f.ID, Topic: f.Topic, Key: keyText(f.Key), Type: f.Type,
		Partition: f.Partition, Offset: f.Offset, State: f.State, Attempts: f.Attempts, Ahead: f.Ahead, Error: f.Error,
	}
	if !f.At.IsZero() {
		s.At = &f.At
	}
	switch f.Table {
	case db.Scheduled:
		s.Step, s.detail = stepScheduled, "the time of its delivery"
	case db.Events:
		s.Step, s.detail = stepWaiting, fmt.Sprintf("row %d; %s before it", f.ID, atLeastOf(f.Ahead, "row"))
		if f.Behind > 0 {
			t.hint("it waits behind %s of its key: see relay parked list --topic %s --key %q",
				atLeastOf(f.Behind, "parked event"), f.Topic, keyText(f.Key))
		}
	case db.Parked:
		s.Step, s.detail = stepParked, fmt.Sprintf("row %d; %s, %s", f.ID, f.State, countOf(int64(f.Attempts),
			"attempt"))
		if f.Error != "" {
			s.detail += ": " + f.Error
		}
	case db.Archive:
		s.Step, s.detail = stepDelivered, fmt.Sprintf("row %d; topic %s", f.ID, f.Topic)
		if f.Partition != nil && f.Offset != nil {
			s.detail += fmt.Sprintf(", partition %d, offset %d", *f.Partition, *f.Offset)
		}
	case db.Drops:
		s.Step, s.detail = stepDropped, fmt.Sprintf("row %d; %s", f.ID, f.Error)
	}
	return s
}

func writtenDetail(f source.Found) string {
	detail := "topic " + f.Topic
	if f.Key != nil {
		detail += ", key " + strconv.Quote(*f.Key)
	}
	if f.Type != "" {
		detail += ", type " + f.Type
	}
	return detail
}

func keyText(key *string) string {
	if key == nil {
		return ""
	}
	return *key
}

func (t *traced) hint(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(t.Hints, text) {
		t.Hints = append(t.Hints, text)
	}
}

// addInbox adds what a consumer's tables say about the event, if its database was given.
func (t *traced) addInbox(ctx context.Context, in config.Inbox) error {
	if in.DatabaseURL == "" {
		return nil
	}
	consumed, err := readInbox(ctx, in, t.EventID)
	if err != nil {
		return fmt.Errorf("inbox: %w", err)
	}
	for _, c := range consumed {
		s := step{
			At: &c.At, Where: "inbox", Consumer: c.Consumer, Attempts: c.Attempts, Error: c.Error, State: c.State,
			detail: "consumer " + c.Consumer,
		}
		if p := c.Position; p != nil {
			s.Topic, s.Partition, s.Offset = p.Topic, &p.Partition, &p.Offset
			s.detail += fmt.Sprintf("; from topic %s, partition %d, offset %d", p.Topic, p.Partition, p.Offset)
		}
		switch c.Table {
		case db.InboxEvents:
			if slices.ContainsFunc(consumed, func(o inboxstore.Consumed) bool {
				return o.Table == db.InboxParked && o.Consumer == c.Consumer
			}) {
				continue // a consumer that parks a message inserts its id into inbox_events too
			}
			s.Step = stepHandled
			s.detail += "; applied, or parked and later retried or dropped"
		case db.InboxAttempts:
			s.Step = stepTried
			s.detail += fmt.Sprintf("; %s: %s", countOf(int64(c.Attempts), "attempt"), c.Error)
		case db.InboxParked:
			s.Step = stepSetAside
			s.detail += fmt.Sprintf("; %s, %s: %s", c.State, countOf(int64(c.Attempts), "attempt"), c.Error)
		}
		t.Steps = append(t.Steps, s)
	}
	if len(consumed) == 0 {
		t.hint("no inbox in the consumer's database has it: it was not consumed there, " +
			"or its row was deleted after the retention time")
	}
	return nil
}

func readInbox(ctx context.Context, in config.Inbox, id string) ([]inboxstore.Consumed, error) {
	target, err := dbopen.Open(ctx, in.DatabaseURL.Reveal(), dbopen.WithExisting(), dbopen.WithMaxOpen(1))
	if err != nil {
		return nil, err
	}
	defer func() { _ = target.DB.Close() }() // nothing was written
	box, err := inboxstore.New(db.Names{Dialect: target.Dialect, Prefix: in.TablePrefix, Schema: in.Schema})
	if err != nil {
		return nil, err
	}
	consumed, err := box.TraceMessage(ctx, target.DB, id)
	switch {
	case db.IsMissingTable(err):
		gone := migrations.Diagnose(ctx, target.DB, target.Dialect, migrations.Options{
			Prefix: in.TablePrefix, Schema: in.Schema, Only: migrations.InboxOnly,
		})
		if errors.Is(gone, migrations.ErrTableGone) {
			return nil, fmt.Errorf("%s: %w", target.Redacted, gone)
		}
		return nil, fmt.Errorf("%s: the inbox tables do not exist: check the database and --inbox-table-prefix, "+
			"or run `relay migrate up --only inbox` on it: %w", target.Redacted, err)
	case db.IsDenied(err):
		return nil, fmt.Errorf("%s: permission denied: this user needs SELECT on the inbox tables: %w", target.Redacted,
			err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", target.Redacted, err)
	}
	return consumed, nil
}

// finish sorts the steps by time. Steps without a time come last.
func (t *traced) finish(c *config.Config) {
	t.Found = len(t.Steps) > 0
	slices.SortStableFunc(t.Steps, func(a, b step) int {
		switch {
		case a.At == nil && b.At == nil:
			return 0
		case a.At == nil:
			return 1
		case b.At == nil:
			return -1
		}
		return a.At.Compare(*b.At)
	})
	if t.Found && c.Inbox.DatabaseURL == "" && len(t.Hints) == 0 {
		t.hint("to see whether a consumer has handled it, add --inbox-database-url")
	}
}

func (t *traced) print(env *Env, cmd *cobra.Command) error {
	if wantsJSON(cmd) {
		return printJSON(env.Stdout, t)
	}
	var rows [][]string
	for _, s := range t.Steps {
		at := "now"
		if s.At != nil {
			at = when(*s.At)
		}
		rows = append(rows, []string{at, s.Step, s.Where, s.detail})
	}
	if len(rows) > 0 {
		if err := printTable(env.Stdout, []string{"TIME", "STEP", "WHERE", "WHAT"}, rows); err != nil {
			return err
		}
	}
	for _, h := range t.Hints {
		if _, err := fmt.Fprintln(env.Stdout, h); err != nil {
			return err
		}
	}
	return nil
}

func when(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
