package demo

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// view shows the progress of the demo.
type view struct {
	out         io.Writer
	interactive bool
	silent      bool
	every       time.Duration
	stats       *stats

	started time.Time
	last    time.Time
	before  counts // at the last look
	rate    plot   // invoices a second
	slow    plot   // p99 of the latencies
	drawn   int    // number of lines on the terminal that will be redrawn
}

func newView(o Options, st *stats) *view {
	v := &view{out: o.Out, interactive: o.Interactive, silent: o.JSON, every: time.Second, stats: st}
	if v.interactive {
		v.every = 250 * time.Millisecond
	}
	return v
}

// run draws until ctx ends, and then once more.
func (v *view) run(ctx context.Context) {
	if v.silent {
		return
	}
	v.started = time.Now()
	v.last = v.started
	tick := time.NewTicker(v.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			v.draw(time.Now())
		case <-ctx.Done():
			v.draw(time.Now())
			return
		}
	}
}

func (v *view) draw(now time.Time) {
	c, total, recent := v.stats.look()
	// The last drawing may come soon after the one before, and a rate over so short a time would mean
	// nothing.
	if since := now.Sub(v.last); since > v.every/2 {
		v.rate.add(float64(c.Invoices-v.before.Invoices) / since.Seconds())
		v.slow.add(recent.quantile(0.99).Seconds())
		v.last, v.before = now, c
	}
	if v.interactive {
		v.redraw(c, total, now.Sub(v.started))
		return
	}
	v.print(c, total, now.Sub(v.started))
}

// print writes a line, for a file or a pipe.
func (v *view) print(c counts, total latencies, since time.Duration) {
	_, _ = fmt.Fprintf(
		v.out,
		"%5.1f s  committed %s  rolled back %s  delivered %s  invoices %s  copies dropped %s  latency p50 %s p99 %s\n",
		since.Seconds(), number(c.Committed), number(c.RolledBack), number(c.Delivered), number(c.Invoices),
		number(c.Dropped), millis(total.quantile(0.5)), millis(total.quantile(0.99)),
	)
}

// redraw replaces what it drew before, on a terminal of 80 columns.
func (v *view) redraw(c counts, total latencies, since time.Duration) {
	lines := []string{
		fmt.Sprintf("A shop, its relay and its billing, in one process.   %20.1f s", since.Seconds()),
		"",
		fmt.Sprintf(
			"  shop      orders committed %9s     rolled back on purpose %9s", number(c.Committed),
			number(c.RolledBack),
		),
		fmt.Sprintf(
			"  relay     delivered        %9s     waiting in the outbox  %9s", number(c.Delivered),
			number(max(0, c.Committed-c.Delivered)),
		),
		fmt.Sprintf(
			"  billing   invoices         %9s     copies dropped         %9s", number(c.Invoices), number(c.Dropped),
		),
		"",
		fmt.Sprintf("  invoices  %s  %.0f a second", &v.rate, v.rate.last()),
		fmt.Sprintf(
			"  slowest   %s  p50 %s, p99 %s", &v.slow, millis(total.quantile(0.5)), millis(total.quantile(0.99)),
		),
		"            from the order's commit to its invoice",
		"",
	}
	var b strings.Builder
	if v.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.drawn) // move the cursor up
	}
	for _, line := range lines {
		b.WriteString("\x1b[2K" + line + "\n") // clear the line first
	}
	v.drawn = len(lines)
	_, _ = io.WriteString(v.out, b.String())
}
