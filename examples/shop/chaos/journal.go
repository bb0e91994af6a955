//go:build unix

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const timeLayout = "15:04:05.000"

// journal is a log with one line for each trouble, and says on the screen how it goes.
type journal struct {
	mu     sync.Mutex
	file   *os.File
	screen io.Writer
	start  time.Time
	counts map[string]int // troubles by kind
}

func newJournal(dir string, screen io.Writer) (*journal, error) {
	file, err := os.Create(filepath.Join(dir, "troubles.log"))
	return &journal{file: file, screen: screen, start: time.Now(), counts: map[string]int{}}, err
}

// say adds a line to the log.
func (j *journal) say(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")
	_, _ = fmt.Fprintf(j.file, "%s %8.3fs %s\n",
		time.Now().Format(timeLayout), time.Since(j.start).Seconds(), text) // a full disk does not end the run
}

// show adds a line to the log and to the screen.
func (j *journal) show(format string, args ...any) {
	j.say(format, args...)
	_, _ = fmt.Fprintf(j.screen, "%4.0f s  %s\n", time.Since(j.start).Seconds(), fmt.Sprintf(format, args...))
}

// count notes a trouble that has happened.
func (j *journal) count(kind string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.counts[kind]++
}

func (j *journal) close() { _ = j.file.Close() } // only a log
