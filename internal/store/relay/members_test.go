package relay_test

import (
	"database/sql"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/dbtest/storetest"
	"github.com/postroom/postroom/internal/store/relay"
)

func TestLiveRelayProcessesSeeEachOther(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		a, b := relay.Member{ID: uuid.New(), Host: "a", Owned: 3}, relay.Member{ID: uuid.New(), Host: "b"}
		require.Empty(t, storetest.Heartbeat(t, r, a), "a process is not its own neighbour")
		live, err := r.Heartbeat(t.Context(), b, time.Minute, false)
		require.NoError(t, err)
		require.Len(t, live, 1)
		require.GreaterOrEqual(t, live[0].Age, time.Duration(0))
		require.Less(t, live[0].Age, time.Minute)
		live[0].Age = 0
		require.Equal(t, a, live[0])

		b.Owned = 7
		storetest.Heartbeat(t, r, b)
		live, err = r.Heartbeat(t.Context(), a, time.Minute, false)
		require.NoError(t, err)
		require.Equal(t, 7, live[0].Owned, "a later heartbeat replaces the one before")

		require.NoError(t, r.Leave(t.Context(), b.ID))
		live, err = r.Heartbeat(t.Context(), b, time.Minute, true)
		require.NoError(t, err)
		require.Len(t, live, 1, "a hidden process hears of the others")
		require.Empty(t, storetest.Heartbeat(t, r, a), "and they do not hear of it")
		live, err = r.Heartbeat(t.Context(), a, time.Minute, true)
		require.NoError(t, err)
		require.Empty(t, live, "nor is it its own neighbour")
	})
}

func TestAProcessThatFellSilentIsNotLiveAndIsForgottenLater(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		a, b := relay.Member{ID: uuid.New()}, relay.Member{ID: uuid.New()}
		rows := func() (n int) {
			require.NoError(t, db.DB.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM outbox_relays").Scan(&n))
			return n
		}
		storetest.Heartbeat(t, r, b)
		for _, gone := range []string{"-70", "70"} { // a negative age: the database's clock was set back
			storetest.SetSeen(t, db, b.ID, gone)
			require.Empty(t, storetest.Heartbeat(t, r, a), gone)
			require.Equal(t, 2, rows(), gone)
		}
		require.Equal(t, []uuid.UUID{a.ID}, storetest.Heartbeat(t, r, b), "it is back")
		for _, gone := range []string{"-3700", "3700"} {
			storetest.Heartbeat(t, r, b)
			storetest.SetSeen(t, db, b.ID, gone)
			require.Empty(t, storetest.Heartbeat(t, r, a), gone)
			require.Equal(t, 1, rows(), gone)
		}
	})
}

// LeaseState and Claim must agree, because a waiting relay claims only a lease that it saw as free.
func TestAPeekSeesWhatAClaimWouldFind(t *testing.T) {
	far := map[sqldb.Dialect]string{
		sqldb.PostgreSQL: "UPDATE outbox_leases SET expires_at = clock_timestamp() + interval '3 hours'",
		sqldb.MySQL:      "UPDATE outbox_leases SET expires_at = UTC_TIMESTAMP(6) + INTERVAL 3 HOUR",
		sqldb.SQLite: "UPDATE outbox_leases SET expires_at = strftime('%Y-%m-%dT%H:%M:%f', 'now', '3 hours') || " +
			"'000Z'",
	}
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		agree := func(what string, want bool) {
			t.Helper()
			state, err := r.LeaseState(t.Context(), time.Minute)
			require.NoError(t, err)
			require.Equal(t, want, state.Free, what)
			_, claimed := claim(t, r, time.Minute)
			require.Equal(t, want, claimed, what)
		}
		agree("never claimed", true)
		agree("held", false)
		expire(t, db)
		agree("expired", true)
		exec(t, db.DB, far[db.Dialect])
		agree("ends after the clock was set back", true)
		exec(t, db.DB, "UPDATE outbox_leases SET expires_at = NULL")
		agree("no end", true)
	})
}

func TestAnHeirIsNamedUntilTheNextOwnerIsGone(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		heir := func() uuid.UUID {
			t.Helper()
			state, err := r.LeaseState(t.Context(), time.Minute)
			require.NoError(t, err)
			return state.Heir
		}
		named := uuid.New()
		l := mustClaim(t, r)
		stale := l
		stale.Epoch++
		require.NoError(t, r.HandOver(t.Context(), stale, named))
		require.True(t, held(t, r, l), "only the holder hands over")
		require.Zero(t, heir())
		require.NoError(t, r.HandOver(t.Context(), l, named))
		require.Equal(t, named, heir())

		mustClaim(t, r)
		require.Zero(t, heir(), "it was for that claim alone")
		expire(t, db)
		require.Zero(t, heir(), "an owner that crashed named nobody")
		l = mustClaim(t, r)
		require.NoError(t, r.HandOver(t.Context(), l, uuid.Nil))
		require.Zero(t, heir())
	})
}

func TestALeaseIsKeptOverItsOwnPool(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		other := reopen(t, db)
		r := newStore(t, db, relay.Options{LeasePool: other})
		l := mustClaim(t, r)
		require.NoError(t, db.DB.Close(), "the pool for the work is of no use any more")
		require.NoError(t, r.Renew(t.Context(), l, time.Minute))
		require.True(t, held(t, r, l))
		require.Empty(t, storetest.Heartbeat(t, r, relay.Member{ID: uuid.New()}))
		_, err := r.LeaseState(t.Context(), time.Minute)
		require.NoError(t, err)
		require.NoError(t, r.HandOver(t.Context(), l, uuid.Nil))
	})
}

func reopen(t *testing.T, db dbtest.Database) *sql.DB {
	t.Helper()
	target, err := dbopen.Open(t.Context(), db.URL, dbopen.WithMaxOpen(2))
	require.NoError(t, err)
	t.Cleanup(func() { _ = target.DB.Close() })
	return target.DB
}
