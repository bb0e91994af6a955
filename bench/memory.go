package main

import (
	"context"
	"flag"
	"fmt"
	"io"
)

type memoryOptions struct {
	options
	Rows    int     `json:"rows"`
	Blocked int     `json:"blocked_keys"`
	LimitMB float64 `json:"limit_mb"`
}

type memoryReport struct {
	Settings memoryOptions `json:"settings"`
	figures
}

func memoryCommand(ctx context.Context, args []string, out io.Writer) error {
	o := memoryOptions{}
	flags := flag.NewFlagSet("memory", flag.ContinueOnError)
	o.register(flags)
	flags.IntVar(&o.Rows, "rows", 1_000_000, "rows of backlog")
	flags.IntVar(&o.Blocked, "blocked-keys", 0, "other keys of which an event is parked")
	flags.Float64Var(&o.LimitMB, "limit", 128, "exit with 1 when peak memory reaches this many MB (1,000,000 bytes)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	r, err := memory(ctx, o)
	if err != nil {
		return err
	}
	if o.json {
		err = printJSON(out, r)
	} else {
		_, err = fmt.Fprintf(
			out,
			"memory: %s, %d rows of %d bytes, %d blocked keys: peak %.1f MB resident (limit %.0f), %.0f events/s, "+
				"%.2f CPU s per million events\n",
			o.Database, o.Rows, payloadBytes, o.Blocked, r.PeakMB, o.LimitMB, r.Rate, r.CPU,
		)
	}
	if err == nil && r.PeakMB >= o.LimitMB {
		err = fmt.Errorf("%w: peak memory is %.1f MB, and the limit %.0f MB", errMissed, r.PeakMB, o.LimitMB)
	}
	return err
}

// memory lets the relay drain one backlog.
func memory(ctx context.Context, o memoryOptions) (_ *memoryReport, err error) {
	b, err := open(ctx, o.options)
	if err != nil {
		return nil, err
	}
	defer atEnd(&err, b.close)
	if o.Blocked > 0 {
		if err := b.db.park(ctx, o.Blocked, o.Blocked); err != nil {
			return nil, err
		}
	}
	f, err := b.contestOnce(ctx, o.Rows, b.startRelay)
	if err != nil {
		return nil, err
	}
	return &memoryReport{Settings: o, figures: f}, nil
}
