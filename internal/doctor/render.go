package doctor

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// width is the length of lines. Commands are never broken.
const width = 110

// Render prints the reports for people: by source, the worst finding first. The command prints the Summary itself.
func Render(w io.Writer, reports []Report) error {
	var b strings.Builder
	for i, r := range reports {
		if i > 0 {
			b.WriteByte('\n')
		}
		if r.Inbox {
			fmt.Fprintf(&b, "inbox: %s", r.Database)
		} else {
			fmt.Fprintf(&b, "source %s: %s", r.Source, r.Database)
		}
		if r.Sink != "" {
			fmt.Fprintf(&b, ", %s", r.Sink)
		}
		b.WriteByte('\n')
		for _, f := range r.Findings {
			render(&b, f)
		}
		if len(r.Findings) == 0 {
			b.WriteString("\n  nothing found\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func render(b *strings.Builder, f Finding) {
	label := string(f.Severity)
	if f.Severity == Problem {
		label = "PROBLEM" // easier to see among the others
	}
	if f.Ignored {
		label = "ignored"
	}
	const indent = "           "
	fmt.Fprintf(b, "\n  %-7s  %s  %s\n", label, f.Check, f.Subject)
	wrap(b, indent, f.What)
	wrap(b, indent, "why: "+f.Why)
	for _, command := range f.Do {
		b.WriteString(indent + "do:  " + command + "\n")
	}
}

// wrap writes text in lines of at most width characters.
func wrap(b *strings.Builder, indent, text string) {
	column := 0
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case column == 0:
			b.WriteString(indent)
			column = len(indent)
		case column+1+n > width:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	b.WriteByte('\n')
}

// duration rounds to the precision that a reader needs.
func duration(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + duration(-d)
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < 48*time.Hour:
		return d.Round(time.Second).String()
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// moment prints a time of the database in UTC.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// number groups digits by thousands.
func number(n int64) string {
	digits := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, r := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// counted returns a number with its noun: 1 event, 2 events.
func counted(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(n) + " " + noun + "s"
}

// verb returns the form of a verb that follows the number n.
func verb(n int64, singular, plural string) string {
	if n == 1 {
		return singular
	}
	return plural
}

// short returns a text on one line, cut if it is long.
func short(s string) string {
	const most = 300
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// literal quotes a string for SQL.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
