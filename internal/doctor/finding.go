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
	// Problem means that delivery is stopped or late, or that a promise of Postroom does not hold.
	Problem Severity = "problem"
	// Warning means that everything works now but may stop working.
	Warning Severity = "warning"
	// Note is information. It also says what could not be checked.
	Note Severity = "note"
)

var severities = [...]Severity{Problem, Warning, Note}

func (s Severity) rank() int { return slices.Index(severities[:], s) }

// Finding is one thing that a check found.
type Finding struct {
	Severity Severity `json:"severity"`
	// Check is the finding's id. It does not change between versions.
	Check string `json:"check"`
	// Subject is the table, topic, session or setting that the finding is about.
	Subject string `json:"subject"`
	// What says what was found, in one sentence.
	What string `json:"what"`
	// Why says what it means.
	Why string `json:"why"`
	// Do lists commands, and SQL statements that end with a semicolon.
	Do []string `json:"do"`
	// Ignored is true if Options.Ignore names the finding. Then it does not count.
	Ignored bool `json:"ignored,omitempty"`
}

// accept marks the findings that ignore names. Each element of ignore is the id of a finding, or its id and its
// subject with a space between them.
func (f findings) accept(ignore []string) {
	for i := range f {
		f[i].Ignored = slices.Contains(ignore, f[i].Check) || slices.Contains(ignore, f[i].Check+" "+f[i].Subject)
	}
}

// CheckIgnore returns an error if a list of accepted findings has an id that does not exist.
func CheckIgnore(ignore []string) error {
	var errs []error
	for _, accepted := range ignore {
		id, _, _ := strings.Cut(accepted, " ")
		if !slices.ContainsFunc(Checks(), func(c Check) bool { return c.ID == id }) {
			errs = append(errs, fmt.Errorf("doctor.ignore: there is no finding %q: docs/operations.md lists all "+
				"findings, and relay doctor prints the id and the subject of each", id))
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

// sort puts the worst findings first, and ignored ones last. Within a severity the checks keep their order, in which
// causes that stop delivery come before those that slow it down.
func (f findings) sort() {
	rank := func(f Finding) int {
		if f.Ignored {
			return len(severities)
		}
		return f.Severity.rank()
	}
	slices.SortStableFunc(f, func(a, b Finding) int { return cmp.Compare(rank(a), rank(b)) })
}

// Report has the findings of one source or inbox.
type Report struct {
	Source   string `json:"source"`
	Database string `json:"database"` // without user and password
	Sink     string `json:"sink"`
	// Inbox is true for a consumer's database, which has no sink.
	Inbox bool `json:"inbox,omitempty"`
	// DatabaseSeen and SinkSeen say which of them could be reached.
	DatabaseSeen bool      `json:"database_seen"`
	SinkSeen     bool      `json:"sink_seen"`
	Findings     []Finding `json:"findings"` // the worst first
}

// Count returns the number of findings of a severity that are not ignored.
func (r Report) Count(s Severity) int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == s && !f.Ignored {
			n++
		}
	}
	return n
}

// Summary returns the numbers of findings in all reports as text.
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
