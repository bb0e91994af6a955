//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/history"
)

const (
	casesPerProperty = 3
	aroundCase       = 4 * time.Second // of log, before and after
)

// keepCases writes, for a failed run, what is known about the first faulty events: all records that Kafka has
// of their keys, and the log around each copy.
func (r *run) keepCases(ctx context.Context) error {
	if r.report.Passed() {
		return nil
	}
	r.report.Cases = r.settings.Dir
	var errs []error
	for _, p := range r.report.Broken() {
		for i, o := range r.report.findings[p].Offenders {
			if i == casesPerProperty {
				break
			}
			name := fmt.Sprintf("%s-%d.txt", strings.ReplaceAll(string(p), " ", "-"), i+1)
			errs = append(errs, r.writeFile(name, func(to io.Writer) error { return r.writeCase(ctx, to, o) }))
		}
	}
	errs = append(errs, r.writeFile("report.txt", r.report.Write), r.writeFile("report.json", func(to io.Writer) error {
		encoder := json.NewEncoder(to)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r.report)
	}))
	return errors.Join(errs...)
}

func (r *run) writeFile(name string, write func(io.Writer) error) error {
	file, err := os.Create(filepath.Join(r.settings.Dir, name))
	if err != nil {
		return fmt.Errorf("keep a case: %w", err)
	}
	return errors.Join(write(file), file.Close())
}

func (r *run) writeCase(ctx context.Context, to io.Writer, o history.Offender) error {
	var b strings.Builder
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\n", args...) }
	say("%s\n\nseed %d\n\nwhat the broker has of its key:", o, r.settings.Seed)
	var times []time.Time
	err := r.readBack(ctx, []string{o.Topic}, func(record *kgo.Record) {
		a := arrival(record)
		if a.ID != o.ID && (o.Key == "" || a.Key != o.Key) {
			return
		}
		mark := " "
		if a.ID == o.ID {
			mark = "*"
			times = append(times, a.Time)
		}
		var headers []string
		for _, h := range record.Headers {
			headers = append(headers, h.Key+"="+string(h.Value))
		}
		say(
			"%s %s partition %d offset %d version %d producer %d/%d %s", mark, a.Time.Format(timeLayout), a.Partition,
			a.Offset, a.Version, record.ProducerID, record.ProducerEpoch, strings.Join(headers, " "),
		)
	})
	if err != nil {
		return err
	}
	for _, at := range times {
		lines, err := r.log.around(at, aroundCase)
		if err != nil {
			return err
		}
		say("\nthe log around %s:\n%s", at.Format(timeLayout), strings.Join(lines, "\n"))
	}
	_, err = io.WriteString(to, b.String())
	return err
}
