package chaos

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/history"
)

// Report is the result of a run.
type Report struct {
	Database string        `json:"database"`
	Broker   string        `json:"broker"`
	Mode     Mode          `json:"mode"`
	Seed     uint64        `json:"seed"`
	LeaseTTL time.Duration `json:"lease_ttl_ns"`
	Relays   int           `json:"relays"`
	Writers  int           `json:"writers"`

	Trouble time.Duration `json:"trouble_ns"` // how long there was trouble
	Drain   time.Duration `json:"drain_ns"`   // time from the end of the trouble until the outbox was empty
	// Held is how much of that time had no blows, because nothing was being delivered.
	Held time.Duration `json:"held_ns"`
	// Delivered is how many events left the outbox during the trouble.
	Delivered int64 `json:"delivered_in_trouble"`

	Blows   Blows   `json:"blows"`
	Account Account `json:"account"`
	Refused Account `json:"refused"` // account of the bursts, which the broker rejects and the relay parks
	Arrived int     `json:"arrived"` // records in the broker, copies included
	// Ended counts the relays that ended by themselves. A relay does that if it is started while the broker
	// is down.
	Ended int `json:"ended_by_themselves"`

	Properties []Result `json:"properties"`
	// Problems are all other faults.
	Problems []string `json:"problems"`
	// Cases is the directory with what is known about the faulty events.
	Cases string `json:"cases,omitempty"`

	findings history.Findings
}

// Blows counts the trouble that was made.
type Blows struct {
	Kills          int `json:"kills"`
	OwnerKills     int `json:"owner_kills"`
	Pauses         int `json:"pauses"` // pauses longer than the lease
	OwnerPauses    int `json:"owner_pauses"`
	RelayCuts      int `json:"relay_connections_cut"`
	WriterCuts     int `json:"writer_connections_cut"`
	BrokerCuts     int `json:"broker_connections_cut"` // connections of relays to the broker
	BrokerKills    int `json:"broker_kills"`
	BrokerRestarts int `json:"broker_restarts"`
	TableLocks     int `json:"table_locks"`
	RowLocks       int `json:"row_locks"`
	LeaseLocks     int `json:"lease_locks"`
	Bursts         int `json:"bursts_of_refused_events"`
	BlindOwners    int `json:"blind_owners"` // blind owners that handed over
	BlindKept      int `json:"blind_owners_that_stayed"`
	Hanging        int `json:"hanging_transactions_ended"` // hanging transactions, by partition, ended as doctor says
}

// Result is the count of one property.
type Result struct {
	Property  history.Property `json:"property"`
	Count     int              `json:"count"`
	Judged    bool             `json:"judged"` // false: it is only reported, because the mode does not promise it
	Offenders []string         `json:"offenders,omitempty"`
}

// Passed reports whether everything that the mode promises was true.
func (r *Report) Passed() bool {
	return len(r.Problems) == 0 && len(r.Broken()) == 0 && len(r.Properties) > 0
}

// Broken lists the properties that the mode promises and the run broke.
func (r *Report) Broken() []history.Property { return r.findings.Broken(r.Mode) }

func (r *Report) judge(f history.Findings) {
	r.findings = f
	for _, p := range history.Properties() {
		result := Result{Property: p, Count: f.Count(p), Judged: !r.Mode.Allows(p)}
		if f[p] != nil {
			for _, o := range f[p].Offenders {
				result.Offenders = append(result.Offenders, o.String())
			}
		}
		r.Properties = append(r.Properties, result)
	}
}

func (r *Report) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// offendersTold is how many faulty events the text names. JSON and the cases have more.
const offendersTold = 3

// Write writes the report as text.
func (r *Report) Write(to io.Writer) error {
	var b strings.Builder
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\n", args...) }
	say(
		"%s, %s, %s, seed %d: %d relays with a lease of %v, %d writers, %v of trouble (%v of it held back), drained "+
			"in %v",
		r.Database, r.Broker, r.Mode, r.Seed, r.Relays, r.LeaseTTL, r.Writers, r.Trouble.Round(time.Second),
		r.Held.Round(time.Second), r.Drain.Round(100*time.Millisecond),
	)
	a := r.Account
	say(
		"  %d events in %d transactions, %d of them delivered during the trouble; %d rolled back, %d lost their "+
			"connection, %d of them at COMMIT (%d had committed); %d records in the broker",
		a.Events, a.Transactions, r.Delivered, a.RolledBack, a.Cut+a.Unknown, a.Unknown, a.Found, r.Arrived,
	)
	n := r.Blows
	say(
		"  kill -9: %d (%d of the owner); stopped past the lease: %d (%d); connections cut: %d of relays, %d of "+
			"writers, %d to the broker; broker: %d times kill -9, %d times stopped; relays that ended by themselves: "+
			"%d",
		n.Kills, n.OwnerKills, n.Pauses, n.OwnerPauses, n.RelayCuts, n.WriterCuts, n.BrokerCuts, n.BrokerKills,
		n.BrokerRestarts, r.Ended,
	)
	say(
		"  locked: %d times the table, %d times a row, %d times the lease; refused: %d events in %d bursts; owners "+
			"without a broker that handed over: %d",
		n.TableLocks, n.RowLocks, n.LeaseLocks, r.Refused.Events, n.Bursts, n.BlindOwners,
	)
	if n.Hanging > 0 {
		say(
			"  transactions that hung after the broker was killed, ended as relay doctor says: in %d partitions",
			n.Hanging,
		)
	}
	for _, p := range r.Properties {
		verdict := "ok"
		switch {
		case !p.Judged:
			verdict = "reported"
		case p.Count > 0:
			verdict = "BROKEN"
		}
		say("  %-40s %7d  %s", p.Property, p.Count, verdict)
		if verdict == "BROKEN" {
			for _, o := range p.Offenders[:min(offendersTold, len(p.Offenders))] {
				say("      %s", o)
			}
		}
	}
	for _, p := range r.Problems {
		say("  PROBLEM: %s", p)
	}
	if r.Cases != "" {
		say("  what is known about it: %s", r.Cases)
	}
	verdict := "passed"
	if !r.Passed() {
		verdict = "FAILED"
	}
	say("  %s", verdict)
	_, err := io.WriteString(to, b.String())
	return err
}
