package relay

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/health"
)

// Ids begin at 1. Rows were inserted by hand with ids that no read from the start returns. Each gets a new id
// and is delivered once, with other rows and without.
func TestARowWithAnIDBelowOneIsDelivered(t *testing.T) {
	t.Parallel()
	for _, others := range []int{0, 5} {
		dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
			b := newBench(t, db)
			b.cfg.sweepEvery = 10 * time.Millisecond
			override := ""
			if db.Dialect == sqldb.PostgreSQL {
				override = "OVERRIDING SYSTEM VALUE "
			}
			if db.Dialect == sqldb.MySQL {
				b.db.DB.SetMaxOpenConns(1) // the mode belongs to the session
				b.exec("SET sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')")
			}
			b.exec("INSERT INTO outbox_events (id, event_id, topic, payload) " + override + `VALUES
				(-7, '00000000-0000-7000-8000-000000000001', 't', 'below'),
				(0, '00000000-0000-7000-8000-000000000002', 't', 'zero')`)
			b.db.DB.SetMaxOpenConns(10)
			if others > 0 {
				b.commit("k", numbered("k", others)...)
			}
			stop := b.start()
			eventually(t, "all are delivered and deleted",
				func() bool { return b.sink.count() >= others+2 && b.empty() })
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

// deniesIDs may not insert events.
type deniesIDs struct {
	database
	tried atomic.Int64
}

func (s *deniesIDs) Renumber(context.Context, store.Lease, store.Event) error {
	s.tried.Add(1)
	return errors.New("permission denied for table outbox_events")
}

// If a row with an id below 1 cannot get another id, the other rows are still delivered. In the past this was
// an outage of the database, after which everything was read from the start, at each sweep.
func TestARowWithAnIDBelowOneThatCannotBeChangedHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	b.cfg.sweepEvery = time.Millisecond
	denied := &deniesIDs{}
	b.naive = func(s database) database { denied.database = s; return denied }
	b.exec("INSERT INTO outbox_events (id, event_id, topic, payload) " +
		"VALUES (-7, '00000000-0000-7000-8000-000000000001', 't', 'below')")
	log := &lines{}
	r := b.relay()
	r.log, r.health = slog.New(log), health.New(slog.New(log))
	b.commit("k", "k1", "k2")
	stop := start(t, r)
	eventually(t, "it was tried, again and again", func() bool { return denied.tried.Load() >= 3 })
	b.commit("k", "k3")
	eventually(t, "the others are delivered", func() bool { return b.sink.count() == 3 && b.rows() == 1 })
	require.NoError(t, stop())
	require.Zero(t, log.count("delivery paused"))
	require.Equal(t, 1, log.count("could not be given a new one"))
}
