package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
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

var severities = [...]Severity{Problem, Warning, Note}

func (s Severity) rank() int { return slices.Index(severities[:], s) }

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
	// Ignored: it was accepted by Options.Ignore, and does not count.
	Ignored bool `json:"ignored,omitempty"`
}

// accept marks the findings that were accepted: each element of ignore is a finding's
// id, or its id and its subject with a space between them.
func (f findings) accept(ignore []string) {
	for i := range f {
		f[i].Ignored = slices.Contains(ignore, f[i].Check) || slices.Contains(ignore, f[i].Check+" "+f[i].Subject)
	}
}

// CheckIgnore returns what is wrong with a list of accepted findings: ids that do not
// exist, of which nobody would notice that they accept nothing.
func CheckIgnore(ignore []string) error {
	var errs []error
	for _, accepted := range ignore {
		id, _, _ := strings.Cut(accepted, " ")
		if !slices.ContainsFunc(Checks(), func(c Check) bool { return c.ID == id }) {
			errs = append(errs, fmt.Errorf("doctor.ignore: there is no finding %q: docs/operations.md lists them, and relay doctor prints each finding's id and subject", id))
		}
	}
	return errors.Join(errs...)
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
// Those that were accepted come last.
func (f findings) sort() {
	rank := func(f Finding) int {
		if f.Ignored {
			return len(severities)
		}
		return f.Severity.rank()
	}
	slices.SortStableFunc(f, func(a, b Finding) int { return cmp.Compare(rank(a), rank(b)) })
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

// Count returns how many findings of a severity there are that were not accepted.
func (r Report) Count(s Severity) int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == s && !f.Ignored {
			n++
		}
	}
	return n
}

// Summary counts the findings of all reports, as a reader would say it.
func Summary(reports []Report) string {
	s := fmt.Sprintf("%s, %s, %s", count(reports, Problem), count(reports, Warning), count(reports, Note))
	ignored := 0
	for _, r := range reports {
		for _, f := range r.Findings {
			if f.Ignored {
				ignored++
			}
		}
	}
	if ignored > 0 {
		s += fmt.Sprintf(", %d ignored", ignored)
	}
	return s
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
