package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/store/archive"
	"github.com/postroom/postroom/migrations"
)

func newReplay(env *Env) *cobra.Command {
	var own replayFlags
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "deliver archived events again",
		Long: `replay copies delivered events from the archive back into outbox_events. The archive has what relay
run --archive has delivered. The relay delivers the events again, in the same order as the first
time, and archives them again. An event that is in the archive several times, because it was
replayed before, is copied once.

An event keeps its id. An inbox that has applied it recognises a duplicate, so only what a consumer
has missed takes effect. With --new-ids each event gets a new id, and takes effect once more.

Select events by time of delivery, by topic, by topic and key, or by event ids. If you use several of
these flags, an event must match all of them. Events are copied in transactions of 1,000 at most.
When replay is interrupted, it says how to continue. When no event matches, the exit code is 1.`,
		Example: `  relay replay --since 2026-11-23T10:00:00Z --until 2026-11-23T11:00:00Z --dry-run
  relay replay --topic orders --key customer-42
  relay replay --since 2h --topic orders --new-ids
  relay replay --ids 018f3c1e-8f2a-7000-8000-000000000001,018f3c1e-8f2a-7000-8000-000000000002`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			wrong := own.check()
			c, _, err := load(env, cmd, func(c *config.Config) error { return errors.Join(c.CheckSources(), wrong) })
			if err != nil {
				return err
			}
			return onSource(ctx, c, func(d *database) error { return replay(ctx, env, cmd, d, &own) })
		},
	}
	config.AddFlags(cmd.Flags(), config.General, config.Database)
	own.add(cmd.Flags())
	addJSON(cmd)
	return cmd
}

// replayFlags say what to replay, and how.
type replayFlags struct {
	since, until, topic, key string
	ids                      []string
	newIDs, dryRun           bool
	after, upTo              int64

	flags  *pflag.FlagSet
	from   moment
	to     moment
	events []uuid.UUID
}

func (r *replayFlags) add(f *pflag.FlagSet) {
	r.flags = f
	f.StringVar(&r.since, "since", "", "events delivered at this `time` or later: RFC 3339, or how long ago (2h, 7d)")
	f.StringVar(&r.until, "until", "", "events delivered before this `time`")
	f.StringVar(&r.topic, "topic", "", "events of this `topic`")
	f.StringVar(&r.key, "key", "", "events of this `key`, with --topic")
	f.StringSliceVar(&r.ids, "ids", nil, "events with these `ids`, separated by commas")
	f.BoolVar(&r.newIDs, "new-ids", false, "give each event a new id, so that consumers apply it again")
	f.BoolVar(&r.dryRun, "dry-run", false, "only count the events to replay")
	f.Int64Var(&r.after, "after-seq", 0, "continue after this `number` of the archive; an interrupted replay prints it")
	f.Int64Var(&r.upTo, "up-to-seq", 0, "last `number` of the archive; an interrupted replay prints it")
}

// check parses the flags and returns all mistakes.
func (r *replayFlags) check() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if r.since == "" && r.until == "" && r.topic == "" && len(r.ids) == 0 {
		fail("say which events: with --since and --until, --topic, --topic and --key, or --ids; " +
			"for example relay replay --since 2h --topic orders")
	}
	if r.flags.Changed("key") && r.topic == "" {
		fail("--key: add --topic, because order is kept within a key of a topic")
	}
	if r.flags.Changed("key") && r.key == "" {
		fail("--key is empty: name a key")
	}
	var err error
	if r.from, err = parseMoment(r.since); err != nil {
		fail("--since: %w", err)
	}
	if r.to, err = parseMoment(r.until); err != nil {
		fail("--until: %w", err)
	}
	for _, text := range r.ids {
		id, err := parseEventID(strings.TrimSpace(text))
		if err != nil {
			fail("--ids: %w", err)
		}
		r.events = append(r.events, id)
	}
	if r.after < 0 || r.upTo < 0 || r.upTo > 0 && r.upTo <= r.after {
		fail("--after-seq and --up-to-seq: %d and %d are no range: use the numbers that the interrupted replay printed",
			r.after, r.upTo)
	}
	return errors.Join(errs...)
}

func parseEventID(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != 36 {
		return uuid.UUID{}, fmt.Errorf("%q is no event id: an event id is a UUID, for example "+
			"018f3c1e-8f2a-7000-8000-000000000001", text)
	}
	return id, nil
}

// moment is a point in time, or how long ago it is.
type moment struct {
	at  time.Time
	ago time.Duration
	set bool
}

func parseMoment(text string) (moment, error) {
	if text == "" {
		return moment{}, nil
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return moment{at: at, set: true}, nil
	}
	ago, err := config.Age(text)
	if err != nil || ago < 0 {
		return moment{}, fmt.Errorf("%q is no time: write 2026-11-23T10:00:00Z, or how long ago it is, for example "+
			"2h or 7d", text)
	}
	return moment{ago: ago, set: true}, nil
}

// on returns the point in time by a clock whose time is now. It is zero if none is set.
func (m moment) on(now time.Time) time.Time {
	if !m.set || !m.at.IsZero() {
		return m.at
	}
	return now.Add(-m.ago)
}

// selection returns the rows that the flags select. The database gives its time and the end of its archive.
func (r *replayFlags) selection(ctx context.Context, store *archive.Store) (archive.Selection, error) {
	now, err := store.Now(ctx)
	if err != nil {
		return archive.Selection{}, err
	}
	s := archive.Selection{
		Since: r.from.on(now), Until: r.to.on(now), Topic: r.topic, Events: r.events, After: r.after, UpTo: r.upTo,
	}
	if !s.Since.IsZero() && !s.Until.IsZero() && !s.Since.Before(s.Until) {
		return s, usageError{fmt.Errorf("--since %s is not before --until %s",
			s.Since.UTC().Format(time.RFC3339), s.Until.UTC().Format(time.RFC3339))}
	}
	if r.key != "" {
		s.Key = &r.key
	}
	if s.UpTo == 0 {
		s.UpTo, err = store.Last(ctx)
	}
	return s, err
}

// replayed is what `replay --json` prints.
type replayed struct {
	Source   string `json:"source"`
	Matched  int64  `json:"matched"`
	PutBack  int64  `json:"put_back"`
	DryRun   bool   `json:"dry_run"`
	NewIDs   bool   `json:"new_ids"`
	AfterSeq int64  `json:"after_seq"` // the last row that was copied
	UpToSeq  int64  `json:"up_to_seq"` // the last row to copy
}

func replay(ctx context.Context, env *Env, cmd *cobra.Command, d *database, own *replayFlags) error {
	store, err := archive.New(d.DB, d.names())
	if err != nil {
		return err
	}
	s, found, err := findArchived(ctx, d, store, own)
	if err != nil {
		return err
	}
	result := replayed{
		Source: d.source.Name, Matched: found.Count, DryRun: own.dryRun, NewIDs: own.newIDs,
		AfterSeq: s.After, UpToSeq: s.UpTo,
	}
	if !own.dryRun {
		err = putBack(ctx, env.Stderr, store, s, &result)
	}
	switch {
	case wantsJSON(cmd):
		return errors.Join(printJSON(env.Stdout, result), err)
	case err != nil:
		return err
	case own.dryRun:
		_, err = fmt.Fprintf(env.Stdout, "%s would be put back into %s; nothing was changed\n",
			countOf(result.Matched, "event"), d.names().Plain(db.Events))
	default:
		_, err = fmt.Fprintf(
			env.Stdout, "%s put back into %s\n", countOf(result.PutBack, "event"), d.names().Plain(db.Events),
		)
	}
	return err
}

// findArchived returns what the flags select. It fails if no event matches, or if an event that they name is missing.
func findArchived(
	ctx context.Context, d *database, store *archive.Store, own *replayFlags,
) (s archive.Selection, m archive.Matched, err error) {
	if s, err = own.selection(ctx, store); err != nil {
		return s, m, archiveError(ctx, d, err)
	}
	if len(s.Events) > 0 {
		missing, err := store.Missing(ctx, s.Events)
		if err != nil {
			return s, m, archiveError(ctx, d, err)
		}
		if len(missing) > 0 {
			return s, m, fmt.Errorf("the archive does not have %s, so nothing was put back: see relay trace %s",
				someIDs(missing), missing[0])
		}
	}
	if m, err = store.Count(ctx, s); err != nil {
		return s, m, archiveError(ctx, d, err)
	}
	if m.Count == 0 {
		return s, m, fmt.Errorf("no event of %s matches, so nothing was put back: "+
			"the archive has only what `relay run --archive` has delivered, for the time of --archive-for",
			d.names().Plain(db.Archive))
	}
	return s, m, nil
}

func someIDs(ids []uuid.UUID) string {
	if len(ids) == 1 {
		return "event " + ids[0].String()
	}
	return fmt.Sprintf("%d of these events, for example %s", len(ids), ids[0])
}

// archiveError explains a missing table and a missing right.
func archiveError(ctx context.Context, d *database, err error) error {
	switch {
	case db.IsMissingTable(err):
		if missing := d.diagnose(ctx, migrations.OutboxOnly); missing != nil {
			return missing
		}
		return fmt.Errorf("%s: a table does not exist: run `%s`: %w", d.Redacted, d.migrateUp(), err)
	case db.IsDenied(err):
		return fmt.Errorf("%s: permission denied: grant the rights that docs/tables.md lists for the relay: %w",
			d.Redacted, err)
	}
	return err
}

const (
	replayPage  = 50_000   // rows that are listed at a time, without their payloads
	replayBatch = 1000     // rows of one transaction
	replayBytes = 16 << 20 // bytes of one transaction's payloads; a larger row goes alone
)

// putBack copies the selected events in order. result says how many it copied, even with an error.
func putBack(ctx context.Context, progress io.Writer, store *archive.Store, s archive.Selection,
	result *replayed) error {
	reported := time.Now()
	for {
		page, err := store.List(ctx, s, replayPage)
		if err != nil {
			return stoppedReplay(ctx, err, result)
		}
		if len(page) == 0 {
			return nil
		}
		for len(page) > 0 {
			n := batchOf(page)
			put, err := store.PutBack(ctx, page[:n], result.NewIDs)
			if err != nil {
				return stoppedReplay(ctx, err, result)
			}
			result.PutBack += put
			result.AfterSeq = page[n-1].Seq
			page = page[n:]
			if time.Since(reported) > time.Second {
				reported = time.Now()
				_, _ = fmt.Fprintf(progress, "%d of %s put back\n", result.PutBack, countOf(result.Matched, "event"))
			}
		}
		s.After = result.AfterSeq
	}
}

// batchOf returns how many of the rows go into one transaction.
func batchOf(page []archive.Row) int {
	bytes := int64(0)
	for i, a := range page {
		bytes += a.Bytes
		if i == replayBatch || i > 0 && bytes > replayBytes {
			return i
		}
	}
	return len(page)
}

// stoppedReplay returns an error that says how many events were copied and how to continue.
func stoppedReplay(ctx context.Context, err error, r *replayed) error {
	if ctx.Err() != nil {
		err = errors.New("stopped by a signal")
	}
	unsure := ""
	if db.IsConnection(err) || ctx.Err() != nil {
		unsure = " (if the answer to the last batch was lost, its events may be put back twice; the inbox recognises " +
			"duplicates, but not with --new-ids)"
	}
	return fmt.Errorf("%w: %d of %s put back; to continue, run the same command with --after-seq %d --up-to-seq %d%s",
		err, r.PutBack, countOf(r.Matched, "event"), r.AfterSeq, r.UpToSeq, unsure)
}

func countOf(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
