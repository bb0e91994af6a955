package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"
)

type archiveOptions struct {
	options
	Rows   int    `json:"rows"`
	Rounds int    `json:"rounds"`
	Mode   string `json:"mode"`
}

// archiveReport compares the drain of the relay with its archive on and off.
type archiveReport struct {
	Settings archiveOptions     `json:"settings"`
	Rounds   []figures          `json:"rounds"`
	Medians  map[string]figures `json:"medians"`
	Ratio    float64            `json:"ratio_of_median_rates"` // on to off
}

const (
	archiveOff = "archive off"
	archiveOn  = "archive on"
)

func archiveCommand(ctx context.Context, args []string, out io.Writer) error {
	var o archiveOptions
	flags := flag.NewFlagSet("archive", flag.ContinueOnError)
	o.register(flags)
	flags.IntVar(&o.Rows, "rows", 300_000, "rows of backlog")
	flags.IntVar(&o.Rounds, "rounds", 5, "rounds; each runs with and without")
	flags.StringVar(&o.Mode, "mode", atLeastOnce, "at-least-once or exactly-once")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.Mode != atLeastOnce && o.Mode != exactlyOnce {
		return fmt.Errorf("-mode is %q: want %s or %s", o.Mode, atLeastOnce, exactlyOnce)
	}
	r, err := archive(ctx, o)
	if err != nil {
		return err
	}
	return r.print(out, o.json)
}

func archive(ctx context.Context, o archiveOptions) (_ *archiveReport, err error) {
	if o.Rows < 1 || o.Rounds < 1 {
		return nil, errors.New("-rows and -rounds must be positive")
	}
	b, err := open(ctx, o.options)
	if err != nil {
		return nil, err
	}
	defer atEnd(&err, b.close)
	b.mode = o.Mode
	r := &archiveReport{Settings: o, Medians: map[string]figures{}}
	for round := range o.Rounds + 1 { // the first is to warm up
		for _, name := range []string{archiveOff, archiveOn} {
			var more []string
			if name == archiveOn {
				more = []string{"--archive"}
			}
			f, err := b.contestOnce(ctx, o.Rows, func() (*child, error) { return b.startRelayWith(more...) })
			if err != nil {
				return nil, err
			}
			if err := b.db.emptyArchive(ctx, o.Rows, name == archiveOn); err != nil {
				return nil, err
			}
			if f.Round, f.Contender = round, name; round > 0 {
				r.Rounds = append(r.Rounds, f)
			}
		}
	}
	for _, name := range []string{archiveOff, archiveOn} {
		r.Medians[name] = medians(name, r.Rounds)
	}
	r.Ratio = r.Medians[archiveOn].Rate / r.Medians[archiveOff].Rate
	return r, nil
}

// emptyArchive checks that every event is in the archive, or none, and empties it.
func (d *database) emptyArchive(ctx context.Context, rows int, on bool) error {
	var n int
	if err := d.sql.QueryRowContext(ctx, "SELECT COUNT(*) FROM outbox_archive").Scan(&n); err != nil {
		return fmt.Errorf("count the archive: %w", err)
	}
	if on && n != rows || !on && n != 0 {
		return fmt.Errorf("the archive has %d of %d events: %w", n, rows, errMissed)
	}
	_, err := d.sql.ExecContext(ctx, "TRUNCATE TABLE outbox_archive")
	return err
}

func (r *archiveReport) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(out, r)
	}
	o := r.Settings
	fmt.Fprintf(out, "archive: %s, %s, %d rows of %d bytes\n", o.Database, o.Mode, o.Rows, payloadBytes)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "round\t\tevents/s\tseconds\tCPU s/million\tpeak MB\t")
	for _, f := range r.Rounds {
		fmt.Fprintf(w, "%d\t%s\t%.0f\t%.3f\t%.2f\t%.1f\t\n", f.Round, f.Contender, f.Rate, f.Seconds, f.CPU, f.PeakMB)
	}
	for _, name := range []string{archiveOff, archiveOn} {
		f := r.Medians[name]
		fmt.Fprintf(w, "median\t%s\t%.0f\t%.3f\t%.2f\t%.1f\t\n", f.Contender, f.Rate, f.Seconds, f.CPU, f.PeakMB)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "on/off, medians: %.1f %%\n", 100*r.Ratio)
	return err
}
