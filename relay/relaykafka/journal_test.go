package relaykafka_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
)

// journal is a log handler that keeps the lines of level Info and above.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func newJournal() *journal { return &journal{} }

func (j *journal) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }
func (j *journal) WithAttrs(attrs []slog.Attr) slog.Handler         { return j }
func (j *journal) WithGroup(string) slog.Handler                    { return j }
func (j *journal) Handle(ctx context.Context, r slog.Record) error {
	var line bytes.Buffer
	err := slog.NewTextHandler(&line, nil).Handle(ctx, r)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, strings.TrimSpace(line.String()))
	return err
}

// with returns the lines that contain this text.
func (j *journal) with(text string) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []string
	for _, line := range j.lines {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}
