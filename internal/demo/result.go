package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// Result is what Run prints as JSON. Orders, Deliveries and Invoices are read from the databases and the
// topic. The other numbers were counted while the demo ran.
type Result struct {
	OK         bool    `json:"ok"`
	Seconds    float64 `json:"seconds"`     // from the first order to the last delivery
	Orders     int64   `json:"orders"`      // committed
	RolledBack int64   `json:"rolled_back"` // on purpose
	Deliveries int64   `json:"deliveries"`  // distinct orders in the topic
	Invoices   int64   `json:"invoices"`
	Copies     int64   `json:"copies_dropped"`
	Latency    Latency `json:"latency_ms"`
	Checks     []Check `json:"checks"`
}

// Latency is the time from an order's commit to the commit of its invoice, in milliseconds, with an error of
// up to 9 %.
type Latency struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

func newResult(f facts, st *stats, took time.Duration) Result {
	counts, total, _ := st.look()
	r := Result{
		OK:         true,
		Seconds:    took.Round(time.Millisecond).Seconds(),
		Orders:     int64(len(f.orders)),
		RolledBack: int64(len(f.rolledBack)),
		Deliveries: int64(len(byID(f.delivered))),
		Invoices:   int64(len(f.invoices)),
		Copies:     counts.Dropped,
		Latency: Latency{
			P50: inMillis(total.quantile(0.5)),
			P99: inMillis(total.quantile(0.99)),
		},
		Checks: f.checks(),
	}
	for _, c := range r.Checks {
		r.OK = r.OK && c.OK
	}
	return r
}

func inMillis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (r Result) print(o Options) error {
	if o.JSON {
		encoder := json.NewEncoder(o.Out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	var b strings.Builder
	b.WriteString("\nFound in the two databases and in the topic:\n")
	for _, c := range r.Checks {
		verdict := "ok  "
		if !c.OK {
			verdict = "FAIL"
		}
		fmt.Fprintf(&b, "  %s  %-54s %s\n", verdict, c.Name, c.Detail)
	}
	verdict := "OK"
	if !r.OK {
		verdict = "FAILED"
	}
	fmt.Fprintf(&b, "\n%s: %s orders, %s deliveries, %s invoices; %s orders rolled back, %s copies dropped.\n", verdict,
		number(r.Orders), number(r.Deliveries), number(r.Invoices), number(r.RolledBack), number(r.Copies))
	_, err := io.WriteString(o.Out, b.String())
	return err
}

// err returns an error that names the failed checks, or nil.
func (r Result) err() error {
	var failed []string
	for _, c := range r.Checks {
		if !c.OK {
			failed = append(failed, fmt.Sprintf("%s (%s)", c.Name, c.Detail))
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrCheckFailed, strings.Join(failed, "; "))
}
