package chaos

import (
	"fmt"
	"strings"
	"time"
)

// BankReport is the result of a run of consumers.
type BankReport struct {
	Database  string        `json:"database"`
	Seed      uint64        `json:"seed"`
	Trouble   time.Duration `json:"trouble_ns"`
	Drain     time.Duration `json:"drain_ns"` // time from the end of the trouble until each group was at the end
	Transfers int           `json:"transfers"`
	// Messages is how many records Kafka has for the banks that must recognise copies. Copies is how many of
	// these are copies, at offsets of their own.
	Messages int `json:"messages"`
	Copies   int `json:"copies"`

	Kills   int `json:"kills"`
	Pauses  int `json:"pauses"` // pauses longer than the session timeout
	Leaves  int `json:"leaves"` // clean ends, after which other members get the partitions
	Cuts    int `json:"connections_cut"`
	Brokers int `json:"broker_restarts"`
	// Handovers counts, for each mode, how often a partition moved to another process.
	Handovers map[BankMode]int `json:"handovers"`
	// Fenced counts members that found in the database that they no longer owned a partition.
	Fenced int `json:"fenced"`
	Ended  int `json:"ended_by_themselves"`

	// Wrong is what the checker found. Each line names its mode.
	Wrong []string `json:"wrong"`
	// Problems are reasons why the run proves too little.
	Problems []string `json:"problems"`
}

// Passed reports whether the run proved what it should.
func (r *BankReport) Passed() bool { return len(r.Wrong)+len(r.Problems) == 0 }

// bankCopiesLeast is the percentage of copies that a run needs to prove something.
const bankCopiesLeast = 30

// missing names what a run of this length had too little of. A run of a minute on an idle machine has about
// twice as much of each.
func (r *BankReport) missing(asked time.Duration) (missing []string) {
	minutes := asked.Minutes()
	least := func(what string, is int, aMinute float64) {
		if wanted := int(aMinute * minutes); is < wanted {
			missing = append(missing, fmt.Sprintf("%d %s, wanted were at least %d", is, what, wanted))
		}
	}
	least("kills", r.Kills, 7)
	least("pauses past the session", r.Pauses, 5)
	least("clean leaves", r.Leaves, 3)
	least("connections cut", r.Cuts, 15)
	least("restarts of the broker", r.Brokers, 1)
	least("transfers", r.Transfers, 3000)
	least("members fenced by the database", r.Fenced, 1)
	for _, mode := range bankModes() {
		least(fmt.Sprintf("partitions of mode %s handed over", mode), r.Handovers[mode], 20)
	}
	return missing
}

// judge adds the reasons to Problems why the run proves too little.
func (r *BankReport) judge(asked time.Duration) {
	for _, what := range r.missing(asked) {
		r.Problems = append(r.Problems, what+": the run proves too little")
	}
	if r.Messages == 0 || 100*r.Copies < bankCopiesLeast*r.Messages {
		r.Problems = append(
			r.Problems,
			fmt.Sprintf("%d of %d messages are copies, wanted were at least %d in a hundred: the run proves too little",
				r.Copies, r.Messages, bankCopiesLeast),
		)
	}
}

// String returns the report in a few lines.
func (r *BankReport) String() string {
	var b strings.Builder
	fmt.Fprintf(
		&b,
		"%s, consumers (%v), seed %d: %d transfers, %d messages of which %d are copies, %v of trouble, drained in %v\n",
		r.Database, bankModes(), r.Seed, r.Transfers, r.Messages, r.Copies, r.Trouble.Round(time.Second),
		r.Drain.Round(100*time.Millisecond),
	)
	fmt.Fprintf(
		&b,
		"  kill -9: %d; stopped past the session: %d; left cleanly: %d; connections cut: %d; broker restarts: %d; "+
			"ended by themselves: %d\n",
		r.Kills, r.Pauses, r.Leaves, r.Cuts, r.Brokers, r.Ended,
	)
	fmt.Fprintf(&b, "  partitions handed over: %v; fenced by the database: %d\n", r.Handovers, r.Fenced)
	for _, line := range append(r.Wrong, r.Problems...) {
		fmt.Fprintf(&b, "  WRONG: %s\n", line)
	}
	if r.Passed() {
		b.WriteString("  every transfer applied once and in order, every total kept: passed\n")
	}
	return b.String()
}
