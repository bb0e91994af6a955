package relay

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/dialect"
)

// Ids begin at 1. Rows were inserted by hand with ids that no read from the start shows:
// each gets a new one and is delivered once, with others and without.
func TestARowWithAnIDBelowOneIsDelivered(t *testing.T) {
	for _, others := range []int{0, 5} {
		dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
			b := newBench(t, db)
			b.cfg.sweepEvery = 10 * time.Millisecond
			override := ""
			if db.Dialect == dialect.PostgreSQL {
				override = "OVERRIDING SYSTEM VALUE "
			}
			if db.Dialect == dialect.MySQL {
				b.db.DB.SetMaxOpenConns(1) // the mode is the session's
				b.exec("SET sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')")
			}
			b.exec("INSERT INTO outbox_events (id, event_id, topic, payload) " + override + `VALUES
				(-7, '00000000-0000-7000-8000-000000000001', 't', 'below'), (0, '00000000-0000-7000-8000-000000000002', 't', 'zero')`)
			b.db.DB.SetMaxOpenConns(10)
			if others > 0 {
				b.commit("k", numbered("k", others)...)
			}
			stop := b.start()
			eventually(t, "all are delivered and deleted", func() bool { return b.sink.count() >= others+2 && b.empty() })
			require.NoError(t, stop())
			values := b.sink.values()
			require.True(t, inOrder(values, "k"))
			slices.Sort(values)
			want := append(numbered("k", others), "below", "zero")
			slices.Sort(want)
			require.Equal(t, want, values)
		})
	}
}
