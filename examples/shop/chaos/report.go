//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/postroom/postroom/examples/shop/driver"
	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/invariants"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/rules"
)

// report is what came of a run.
type report struct {
	Seed               uint64
	RuleOff            string `json:",omitempty"`
	Disturbed, Settled time.Duration
	Counts             driver.Counts
	Outcomes           map[string]int // orders, by how they ended
	Troubles           map[string]int
	Processors         map[string]int // seconds of processor time, by process
	Rows               []invariants.Row
	Failures           []string // processes that ended by themselves; they are started again, as everywhere
	Alarms, Problems   []string
	Wrong              []string // why the run did not pass
	Passed             bool
	Dir, Databases     string
}

// kills is how often something was killed or restarted.
func (r *report) kills() int {
	return killsIn(r.Troubles)
}

func killsIn(troubles map[string]int) (n int) {
	for kind, times := range troubles {
		if strings.HasPrefix(kind, "kill") || strings.HasPrefix(kind, "restart") {
			n += times
		}
	}
	return n
}

// judge tells whether what was expected has come.
func (r *report) judge(o options) {
	r.Wrong = append(r.Wrong, r.Problems...)
	r.Wrong = append(r.Wrong, r.Alarms...)
	if r.Counts.Accepted < o.orders {
		r.Wrong = append(r.Wrong, fmt.Sprintf("%d orders were accepted, fewer than %d", r.Counts.Accepted, o.orders))
	}
	if r.kills() < o.kills {
		r.Wrong = append(r.Wrong, fmt.Sprintf("there were %d kills, fewer than %d", r.kills(), o.kills))
	}
	if r.Counts.Failed > 0 {
		r.Wrong = append(r.Wrong,
			fmt.Sprintf("%d answers that no customer should get: see driver.log", r.Counts.Failed))
	}
	var broken []string
	for _, row := range r.Rows {
		if !row.Holds {
			broken = append(broken, row.Name)
		}
	}
	switch protects := protects(o.ruleOff); {
	case o.ruleOff == "" && len(broken) > 0:
		r.Wrong = append(r.Wrong, "broken: "+strings.Join(broken, ", "))
	case o.ruleOff != "" && !slices.ContainsFunc(broken, func(b string) bool { return slices.Contains(protects, b) }):
		r.Wrong = append(r.Wrong,
			fmt.Sprintf("without the rule %s one of %q must be broken, and none is", o.ruleOff, protects))
	}
	r.Passed = len(r.Wrong) == 0
}

// addOrders reads what has become of the orders, and whether it is what was promised.
func (r *report) addOrders(ctx context.Context, s *shop, d *driver.Driver) error {
	r.Outcomes = map[string]int{}
	found := map[string][]fact{}
	for _, name := range s.names {
		if strings.HasPrefix(name, "orders_") {
			if err := readStreams(ctx, s.databases[name], found); err != nil {
				return fmt.Errorf("read the orders in %s: %w", name, err)
			}
		}
	}
	for _, facts := range found {
		r.Outcomes[outcome(facts)]++
	}
	lost, unnoted, uncancelled := 0, 0, 0
	for id, p := range d.Promises() {
		facts := found[id]
		has := func(f func(fact) bool) bool { return slices.ContainsFunc(facts, f) }
		if len(facts) == 0 {
			lost++
		}
		if p.Version > 0 && !has(func(f fact) bool { return f.version == p.Version && f.note == p.Note }) {
			unnoted++
		}
		if p.Cancel && !has(func(f fact) bool { return f.kind == events.TypeOrderCancelRequested }) {
			uncancelled++
		}
	}
	r.Rows = append(r.Rows, invariants.Row{
		Name: "promises", Holds: lost+unnoted+uncancelled == 0,
		Figures: fmt.Sprintf("%d orders were promised, %d are lost; %d changes and %d cancels are lost",
			len(d.Promises()), lost, unnoted, uncancelled),
		Reason: "What the shop has said to a customer is so.",
	})
	return nil
}

// fact is an event of an order.
type fact struct {
	version            int64
	kind, note, reason string
}

func readStreams(ctx context.Context, url string, into map[string][]fact) error {
	db, err := kit.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // it was only read
	rows, err := db.SQL.QueryContext(ctx,
		"SELECT stream, version, type, body FROM order_events ORDER BY stream, version")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var stream string
		var text []byte
		var f fact
		if err := rows.Scan(&stream, &f.version, &f.kind, &text); err != nil {
			return err
		}
		var body struct{ Note, Reason string }
		if err := json.Unmarshal(text, &body); err != nil {
			return fmt.Errorf("order %s, version %d: %w", stream, f.version, err)
		}
		f.note, f.reason = body.Note, body.Reason
		into[stream] = append(into[stream], f)
	}
	return rows.Err()
}

// outcome tells how an order has ended, from its events.
func outcome(facts []fact) string {
	status := "placed"
	for _, f := range facts {
		switch f.kind {
		case events.TypeOrderConfirmed:
			status = "confirmed"
		case events.TypeOrderCancelRequested, events.TypeOrderRepaired:
			status = "cancelling"
		case events.TypeOrderCancelled:
			status = "cancelled: " + f.reason
		case events.TypeOrderStuck:
			status = "stuck: " + f.reason
		}
	}
	return status
}

func (r *report) write(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "\nseed %d: trouble for %v, at rest after %v more\n", r.Seed,
		r.Disturbed.Round(time.Second), r.Settled.Round(time.Second))
	if r.RuleOff != "" {
		_, _ = fmt.Fprintf(t, "without the rule %s\n", r.RuleOff)
	}
	_, _ = fmt.Fprintf(t, "\nkills %d\t%s\n", r.kills(), list(r.Troubles))
	_, _ = fmt.Fprintf(t, "ended by themselves\t%d times\n", len(r.Failures))
	_, _ = fmt.Fprintf(t, "orders\t%s\n", list(r.Outcomes))
	_, _ = fmt.Fprintf(t, "processor time in s\t%s\n", list(r.Processors))
	_, _ = fmt.Fprintf(t, "customers\t%+v\n\n", r.Counts)
	for _, row := range r.Rows {
		verdict := "ok"
		if !row.Holds {
			verdict = "BROKEN"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\n", verdict, row.Name, row.Figures)
	}
	_, _ = fmt.Fprintln(t)
	for _, wrong := range r.Wrong {
		_, _ = fmt.Fprintf(t, "PROBLEM: %s\n", wrong)
	}
	if !r.Passed {
		_, _ = fmt.Fprintf(t, "logs: %s\ndatabases: %s\n", r.Dir, r.Databases)
	} else {
		_, _ = fmt.Fprintln(t, "passed")
	}
	return t.Flush()
}

func list(counts map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(parts, ", ")
}

func (j *journal) kills() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return killsIn(j.counts)
}

// troubles lists what has happened until now.
func (j *journal) troubles() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return list(j.counts)
}

// protects are the rows that turn false without a rule.
func protects(off rules.Rule) []string {
	for _, info := range rules.Infos() {
		if info.Rule == off {
			return info.Protects
		}
	}
	return nil
}
