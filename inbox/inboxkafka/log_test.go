package inboxkafka_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// logged keeps what a consumer logs.
type logged struct {
	mu    sync.Mutex
	lines []line
}

type line struct {
	at      time.Time
	message string
	attrs   map[string]any
}

func newLog() *logged { return &logged{} }

func (l *logged) logger() *slog.Logger { return slog.New(l) }

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }
func (l *logged) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logged) WithGroup(string) slog.Handler            { return l }

func (l *logged) Handle(_ context.Context, r slog.Record) error {
	attrs := make(map[string]any)
	r.Attrs(func(a slog.Attr) bool {
		attrs[a.Key] = a.Value.Any()
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line{r.Time, r.Message, attrs})
	return nil
}

func (l *logged) all() []line {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

func (l *logged) having(message string) (found []line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if line.message == message {
			found = append(found, line)
		}
	}
	return found
}

// awaits waits until a message was logged n times, and returns the n-th.
func (l *logged) awaits(t *testing.T, message string, n int) line {
	t.Helper()
	require.Eventually(t, func() bool { return len(l.having(message)) >= n }, patience, 10*time.Millisecond, "%d × %s",
		n, message)
	return l.having(message)[n-1]
}
