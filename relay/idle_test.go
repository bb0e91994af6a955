package relay

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/faultdb"
	"github.com/postroom/postroom/relay/internal/pacing"
)

// census counts the statements of a database.
type census struct {
	mu   sync.Mutex
	seen map[string]int
}

func (c *census) hook(statement string) faultdb.Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[label(statement)]++
	return faultdb.Fault{}
}

// take returns what was counted since the last call.
func (c *census) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.seen
	c.seen = map[string]int{}
	return seen
}

// An idle source costs four reads a second, two looks for requests and scheduled events, and the statements
// that keep its lease. A busy machine makes fewer, never more.
func TestIdleSourcesBackOff(t *testing.T) {
	t.Parallel()
	const sources = 24
	db := dbtest.PostgreSQL(t)
	f := newRealFleet(t, db, sources)
	count := &census{seen: map[string]int{}}
	counted := faultdb.Open(db.DB, count.hook)
	defer counted.Close()
	counted.SetMaxOpenConns(6)
	process := NewMember()
	var stops []func() error
	for i, prefix := range f.prefixes {
		r, err := New(Config{
			DB: counted, Dialect: db.Dialect, Sink: f.sinks[i], Source: prefix, TablePrefix: prefix, Member: process,
			LeaseTTL: 30 * time.Second, Logger: slog.New(slog.DiscardHandler),
		})
		require.NoError(t, err)
		stops = append(stops, start(t, r))
	}
	settles(t, "it owns all", func() bool { return process.Owned() == sources })
	// After a time without an event, every source has the rate of idle sources.
	const window = 5 * time.Second
	require.Eventually(t, func() bool {
		count.take()
		began := time.Now()
		require.True(t, pacing.Sleep(t.Context(), window, nil))
		seconds := time.Since(began).Seconds()
		total, reads := 0, 0
		for statement, n := range count.take() {
			t.Log(n, statement)
			total += n
			if strings.Contains(statement, "outbox_events") {
				reads += n
			}
		}
		t.Logf("%.1f statements and %.1f reads a second for each source", float64(total)/seconds/sources,
			float64(reads)/seconds/sources)
		return float64(reads) <= 4.3*seconds*sources && float64(total) <= 7*seconds*sources
	}, 4*patience, time.Millisecond)
	for _, stop := range stops {
		require.NoError(t, stop())
	}
}
