package doctor

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// width is where lines are broken. Commands are not.
const width = 110

// Render prints the reports for people: by source, the worst first. The Summary is the command's to print, once.
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
		label = "PROBLEM" // to be seen among the others
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

// wrap writes a text in lines of the width.
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
