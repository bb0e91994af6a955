package relay_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/relay"
)

// Each call holds the lease row locked, so the number of rows that it writes is bounded, however many are
// parked. In the past 400,000 rows in one statement took longer than the lease.
func TestOvertakeMarksABoundedPartAtATime(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		fillParked(t, db, 54_000)
		exec(t, db.DB, "UPDATE outbox_parked SET event_key = NULL WHERE seq <= 100")
		exec(t, db.DB, "UPDATE outbox_parked SET overtaken = true WHERE seq BETWEEN 1000 AND 1999")
		marked := func() (n int) {
			require.NoError(t, db.DB.QueryRow("SELECT count(*) FROM outbox_parked WHERE overtaken").Scan(&n))
			return n
		}
		before := marked()
		overtake := func(l relay.Lease, after int64) (int64, bool) {
			next, more, err := r.MarkOvertaken(t.Context(), l, after)
			require.NoError(t, err)
			now := marked()
			require.LessOrEqual(t, now-before, 5000)
			before = now
			return next, more
		}
		after, _ := overtake(l, 0)
		require.Equal(t, 6000, before)

		// Another owner gets the lease in the middle of the walk.
		expire(t, db)
		successor := mustClaim(t, r)
		_, _, err := r.MarkOvertaken(t.Context(), l, after)
		require.ErrorIs(t, err, relay.ErrLeaseLost)
		require.Equal(t, 6000, marked())

		calls := 0
		for after, more := overtake(successor, 0); more; calls++ {
			after, more = overtake(successor, after)
		}
		require.Equal(t, 54_000+5400-100, marked(), "all that have a key")
		require.LessOrEqual(t, calls, 20)
		again := 0
		for after, more := overtake(successor, 0); more; again++ {
			after, more = overtake(successor, after)
		}
		require.Equal(t, 2, again, "59,400 marked rows are passed in windows of 50,000")
	})
}
