package health

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// lines is a log in memory.
type lines struct{ text strings.Builder }

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(&l.text, nil)) }

// count returns how many lines of the log contain part.
func (l *lines) count(part string) (n int) {
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

type causedError struct{ text, cause string }

func (e *causedError) Error() string       { return e.text }
func (e *causedError) OutageCause() string { return e.cause }

// The cause changes during an outage. The log has a line for each new cause, and none for changed counts and
// times.
func TestTheLogTellsWhenAnOutageHasAnotherCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		h := New(log.logger())
		h.Paused(Sink, errors.New("connection refused"))
		start := time.Now()
		for n := range 100 {
			h.Paused(Sink, fmt.Errorf("%d records wait for a leader since 10:00:0%d", n, n%10))
			time.Sleep(time.Second)
		}
		require.Equal(t, 1, log.count("delivery paused"))
		require.Equal(t, 1, log.count("connection refused"))
		require.Equal(t, 1, log.count("delivery is still paused"))
		require.Equal(t, 1, log.count("0 records wait for a leader"))
		since, err := h.Outage(Sink)
		require.Equal(t, start, since)
		require.ErrorContains(t, err, "wait for a leader")

		hangs := func(offset string) error {
			return fmt.Errorf("open: %w", &causedError{"a transaction hangs at offset " + offset, "offset " + offset})
		}
		h.Paused(Sink, hangs("7"))
		h.Paused(Sink, hangs("7"))
		h.Paused(Sink, hangs("9"))
		require.Equal(t, 1, log.count("hangs at offset 7"))
		require.Equal(t, 1, log.count("hangs at offset 9"), "it says itself that this is another one")

		h.Resumed(Sink)
		require.Equal(t, 1, log.count("delivery resumed"))
		_, err = h.Outage(Sink)
		require.NoError(t, err)
	})
}

// Two causes that alternate, and any number of different causes, must not flood the log.
func TestCausesThatTakeTurnsAreToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		h := New(log.logger())
		for range 5 * 60 {
			h.Paused(Sink, errors.New("refused"))
			h.Paused(Sink, errors.New("timed out"))
			time.Sleep(time.Second)
		}
		require.Equal(t, 10, log.count("refused")+log.count("timed out"), "two in a minute")

		h.Resumed(Sink)
		before := log.count("still paused")
		for n := range 1000 {
			h.Paused(Sink, &causedError{"x", fmt.Sprint(n)})
		}
		require.LessOrEqual(t, log.count("still paused")-before, causesLogged)
	})
}
