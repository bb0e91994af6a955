package chaos

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// timeline is one log of everything that happens in a run: trouble, and every line of every relay, in the
// order in which the harness saw it. It is safe for many goroutines.
type timeline struct {
	mu    sync.Mutex
	file  *os.File
	echo  io.Writer // may be nil
	start time.Time
	tails map[string][]string // the last lines of each source
}

const (
	timeLayout = "15:04:05.000"
	tailLines  = 6
)

func newTimeline(path string, echo io.Writer) (*timeline, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("make the run's log: %w", err)
	}
	return &timeline{file: file, echo: echo, start: time.Now(), tails: make(map[string][]string)}, nil
}

// say adds a line. If the log cannot be written, the run goes on without these lines, because it still proves
// something.
func (t *timeline) say(who, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")
	line := fmt.Sprintf("%s %8.3fs %-9s %s\n", now.Format(timeLayout), now.Sub(t.start).Seconds(), who, text)
	_, _ = t.file.WriteString(line)
	if t.echo != nil {
		_, _ = io.WriteString(t.echo, line)
	}
	source, _, _ := strings.Cut(who, ".")
	tail := append(t.tails[source], strings.TrimSuffix(line, "\n"))
	t.tails[source] = tail[max(0, len(tail)-tailLines):]
}

// tail returns the last lines of a source, for example relay-1.
func (t *timeline) tail(source string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.tails[source]...)
}

// around returns the lines from before to after a time.
func (t *timeline) around(at time.Time, by time.Duration) ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	file, err := os.Open(t.file.Name())
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	from, to := at.Add(-by).Sub(t.start).Seconds(), at.Add(by).Sub(t.start).Seconds()
	var found []string
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var clock string
		var since float64
		if _, err := fmt.Sscanf(lines.Text(), "%s %fs", &clock, &since); err == nil && since >= from && since <= to {
			found = append(found, lines.Text())
		}
	}
	return found, lines.Err()
}

func (t *timeline) close() { _ = t.file.Close() } // only a log
