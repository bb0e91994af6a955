package cli

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
)

// A relay is started while a migration holds the tables of a source for longer than a statement of the relay
// may wait. The relay must wait for the source, because nobody would start it again while the other sources
// of the process go on.
func TestASourceThatIsLockedAtStartIsWaitedFor(t *testing.T) {
	for name, open := range map[string]func(testing.TB) dbtest.Database{"postgresql15": dbtest.PostgreSQL,
		"mariadb": dbtest.MariaDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of the time they wait
			const sources, locked, events = 3, 1, 10
			db := open(t)
			c := fleetOf(t, db, sources)
			writeToEach(t, db, c, events)
			unlock := lockTables(t, db, c.Sources[:locked])
			defer func() { unlock() }()

			said := &lines{}
			log := slog.New(slog.NewTextHandler(said, nil))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			databases, err := openPools(ctx, c.Sources, log)
			require.NoError(t, err)
			defer databases.close()
			relays, err := startAll(ctx, c, databases, log)
			require.NoError(t, err)
			ended := make(chan error, 1)
			go func() { ended <- runAll(ctx, relays, log) }()

			consumeAll(t, c, (sources-locked)*events)
			require.Eventually(t, func() bool { return said.has("delivery paused") || said.has("source stopped") },
				patience, 10*time.Millisecond, "nothing is said of the source that waits")
			unlock()
			unlock = func() {}
			consumeAll(t, c, sources*events)
			cancel()
			require.NoError(t, <-ended)
		})
	}
}

// lines is a log that can be read while it is being written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *lines) has(what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.text.Bytes(), []byte(what))
}
