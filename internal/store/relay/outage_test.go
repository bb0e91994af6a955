package relay_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/doctor/facts"
	"github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/internal/store/source"
)

func sourceOf(t *testing.T, db dbtest.Database) *source.Store {
	t.Helper()
	s, err := source.New(db.DB, sqldb.Names{Dialect: db.Dialect})
	require.NoError(t, err)
	return s
}

func TestAnOutageIsInTheLeaseRowUntilItEndsOrAnotherOwnerClaims(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		read := func() source.Outage {
			t.Helper()
			s, err := sourceOf(t, db).State(t.Context())
			require.NoError(t, err)
			d, err := facts.New(db.DB, sqldb.Names{Dialect: db.Dialect}, time.Minute)
			require.NoError(t, err)
			l, err := d.Lease(t.Context())
			require.NoError(t, err)
			require.Equal(t, s.Outage, l.Outage)
			return s.Outage
		}
		require.Zero(t, read())
		first := mustClaim(t, r)
		since := time.Date(2026, 11, 30, 2, 0, 0, 0, time.UTC)
		require.NoError(
			t, r.Note(t.Context(), first, relay.SinkOutage(since, "kafka at \"k\\9\" says it's\nover \x00 \xff")),
		)
		require.Equal(t, source.Outage{Since: since, Reason: "kafka at \"k\\9\" says it's\nover \uFFFD \uFFFD"}, read())

		require.NoError(t, r.Note(t.Context(), first, relay.SinkOutage(since, strings.Repeat("ü", 5000))))
		require.Equal(t, strings.Repeat("ü", 1000)+"…", read().Reason, "bounded")

		require.NoError(t, r.Note(t.Context(), first, relay.SinkOutage(time.Time{}, "")))
		require.Zero(t, read())

		require.NoError(t, r.Note(t.Context(), first, relay.SinkOutage(since, "no leader")))
		expire(t, db)
		mustClaim(t, r)
		require.Zero(t, read(), "it was the other owner's")
		require.ErrorIs(t, r.Note(t.Context(), first, relay.SinkOutage(since, "no leader")), relay.ErrLeaseLost)
	})
}
