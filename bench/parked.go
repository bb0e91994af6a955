package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/postroom/postroom/migrations"
)

type parkedOptions struct {
	options
	Rows     int     `json:"rows"`
	Blocked  int     `json:"blocked_events"`
	Rounds   int     `json:"rounds"`
	MinRatio float64 `json:"min_ratio"`
}

// parkedReport compares the rate at which other keys are delivered with and without
// blocked events.
type parkedReport struct {
	Settings parkedOptions      `json:"settings"`
	Rounds   []figures          `json:"rounds"`
	Medians  map[string]figures `json:"medians"`
	Ratio    float64            `json:"ratio_of_median_rates"` // with to without
}

const (
	withoutBlocked = "without blocked events"
	withBlocked    = "beside blocked events"
)

func parkedCommand(ctx context.Context, args []string, out io.Writer) error {
	var o parkedOptions
	flags := flag.NewFlagSet("parked", flag.ContinueOnError)
	o.register(flags)
	flags.IntVar(&o.Rows, "rows", 300_000, "rows of backlog, of other keys")
	flags.IntVar(&o.Blocked, "blocked", 100_000, "events that wait behind a failed one, of 100 keys")
	flags.IntVar(&o.Rounds, "rounds", 7, "rounds; each runs with and without")
	flags.Float64Var(&o.MinRatio, "min-ratio", 0, "exit with 1 when with/without is below this")
	if err := flags.Parse(args); err != nil {
		return err
	}
	r, err := parked(ctx, o)
	if err != nil {
		return err
	}
	if err := r.print(out, o.json); err != nil {
		return err
	}
	if r.Ratio < o.MinRatio {
		return fmt.Errorf(
			"%w: beside blocked events the relay reached %.1f %%, below %.1f %%", errMissed, 100*r.Ratio,
			100*o.MinRatio,
		)
	}
	return nil
}

func parked(ctx context.Context, o parkedOptions) (_ *parkedReport, err error) {
	if o.Rows < 1 || o.Rounds < 1 || o.Blocked < 1 {
		return nil, errors.New("-rows, -rounds and -blocked must be positive")
	}
	b, err := open(ctx, o.options)
	if err != nil {
		return nil, err
	}
	defer atEnd(&err, b.close)
	r := &parkedReport{Settings: o, Medians: map[string]figures{}}
	for round := range o.Rounds + 1 { // the first is to warm up
		for _, name := range []string{withoutBlocked, withBlocked} {
			blocked := 0
			if name == withBlocked {
				blocked = o.Blocked
			}
			if err := b.db.park(ctx, blocked, 100); err != nil {
				return nil, err
			}
			f, err := b.contestOnce(ctx, o.Rows, b.startRelay)
			if err != nil {
				return nil, err
			}
			if f.Round, f.Contender = round, name; round > 0 {
				r.Rounds = append(r.Rounds, f)
			}
		}
	}
	for _, name := range []string{withoutBlocked, withBlocked} {
		r.Medians[name] = medians(name, r.Rounds)
	}
	r.Ratio = r.Medians[withBlocked].Rate / r.Medians[withoutBlocked].Rate
	return r, nil
}

// park leaves n events of so many keys parked, all but the first of each blocked, and no
// others.
func (d *database) park(ctx context.Context, n, keys int) error {
	statements := []string{"TRUNCATE outbox_parked"}
	if n > 0 {
		insert := `INSERT INTO outbox_parked (id, event_id, topic, event_key, event_type, payload, headers,
  created_at, attempts, error, state) `
		if d.dialect == migrations.PostgreSQL {
			insert += fmt.Sprintf(
				`SELECT i, gen_random_uuid(), 'elsewhere', 'blocked-' || i %% %d, 'bench.happened',
  decode(repeat(md5(i::text), %d), 'hex'), '{}', now(), 1, 'too large',
  CASE WHEN i <= %d THEN 'failed' ELSE 'blocked' END FROM generate_series(1, %d) AS i`,
				keys, payloadBytes/16, keys, n,
			)
		} else {
			insert += fmt.Sprintf(
				`SELECT seq, uuid(), 'elsewhere', CONCAT('blocked-', seq %% %d), 'bench.happened',
  REPEAT(UNHEX(MD5(seq)), %d), '{}', utc_timestamp(6), 1, 'too large',
  IF(seq <= %d, 'failed', 'blocked') FROM seq_1_to_%d`,
				keys, payloadBytes/16, keys, n,
			)
		}
		statements = append(statements, insert)
	}
	for _, s := range statements {
		if _, err := d.sql.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("fill the parked events: %w", err)
		}
	}
	return nil
}

func (r *parkedReport) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(out, r)
	}
	o := r.Settings
	fmt.Fprintf(
		out, "parked: %s, %d rows of %d bytes to deliver, beside %d blocked events of 100 other keys\n", o.Database,
		o.Rows, payloadBytes, o.Blocked,
	)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "round\t\tevents/s\tseconds\tCPU s/million\t")
	for _, f := range r.Rounds {
		fmt.Fprintf(w, "%d\t%s\t%.0f\t%.3f\t%.2f\t\n", f.Round, f.Contender, f.Rate, f.Seconds, f.CPU)
	}
	for _, name := range []string{withoutBlocked, withBlocked} {
		f := r.Medians[name]
		fmt.Fprintf(w, "median\t%s\t%.0f\t%.3f\t%.2f\t\n", f.Contender, f.Rate, f.Seconds, f.CPU)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "with/without, medians: %.1f %%\n", 100*r.Ratio)
	return err
}
