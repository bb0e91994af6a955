package doctor

import (
	"cmp"
	"fmt"
	"slices"
)

// Severity says how bad a finding is.
type Severity string

// Severities, the worst first.
const (
	// Problem: delivery is stopped or late, or a promise of Postroom does not hold.
	Problem Severity = "problem"
	// Warning: it works now, and something makes it likely that it will not.
	Warning Severity = "warning"
	// Note: good to know; also what could not be looked at.
	Note Severity = "note"
)

func (s Severity) rank() int { return slices.Index([]Severity{Problem, Warning, Note}, s) }

// Finding is one thing that a check found.
type Finding struct {
	Severity Severity `json:"severity"`
	// Check is the finding's id: it stays the same from version to version.
	Check string `json:"check"`
	// Subject is what it is about: a table, a topic, a session, a setting.
	Subject string `json:"subject"`
	// What is the case, in one sentence.
	What string `json:"what"`
	// Why it matters.
	Why string `json:"why"`
	// Do is what to type: commands, and SQL statements that end with a semicolon.
	Do []string `json:"do"`
}

// findings collects what the checks of one source find.
type findings []Finding

func (f *findings) add(s Severity, check, subject, what, why string, do ...string) {
	if do == nil {
		do = []string{}
	}
	*f = append(*f, Finding{Severity: s, Check: check, Subject: subject, What: what, Why: why, Do: do})
}

// sort puts the worst first; within a severity the checks keep their order, in which
// what stops delivery comes before what slows it down.
func (f findings) sort() {
	slices.SortStableFunc(f, func(a, b Finding) int { return cmp.Compare(a.Severity.rank(), b.Severity.rank()) })
}

// Report is what was found of one source.
type Report struct {
	Source   string `json:"source"`
	Database string `json:"database"` // without user and password
	Sink     string `json:"sink"`
	// Inbox: it is about a consumer's database, which has no sink.
	Inbox bool `json:"inbox,omitempty"`
	// Database and sink could be looked at.
	DatabaseSeen bool      `json:"database_seen"`
	SinkSeen     bool      `json:"sink_seen"`
	Findings     []Finding `json:"findings"` // the worst first
}

// Count returns how many findings of a severity there are.
func (r Report) Count(s Severity) int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// Summary counts the findings of all reports, as a reader would say it.
func Summary(reports []Report) string {
	return fmt.Sprintf("%s, %s, %s", count(reports, Problem), count(reports, Warning), count(reports, Note))
}

func count(reports []Report, s Severity) string {
	n := 0
	for _, r := range reports {
		n += r.Count(s)
	}
	if n == 1 {
		return "1 " + string(s)
	}
	return fmt.Sprintf("%d %ss", n, s)
}
