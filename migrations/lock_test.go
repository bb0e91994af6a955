package migrations_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/migrations"
)

func newLock(t *testing.T, db dbtest.Database, ttl, beat time.Duration) *migrations.TestLock {
	t.Helper()
	lock, err := migrations.NewTestLock(t.Context(), db.DB, db.Dialect, migrations.Options{}, ttl, beat)
	require.NoError(t, err)
	return lock
}

func soon(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// expiry returns the end of the lease as text that sorts.
func expiry(t *testing.T, db dbtest.Database) (at string) {
	t.Helper()
	require.NoError(
		t,
		db.DB.QueryRowContext(t.Context(), "SELECT CAST(expires_at AS CHAR(40)) FROM postroom_schema_lock").Scan(&at),
	)
	return at
}

func TestTheLock(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		t.Run("is renewed by its holder, and free at once after it", func(t *testing.T) {
			holder, other := newLock(t, db, time.Minute, 20*time.Millisecond), newLock(t, db, time.Minute, time.Hour)
			require.NoError(t, holder.Acquire(t.Context()))
			_, release := holder.Hold(t.Context())
			first := expiry(t, db)
			require.Eventually(t, func() bool { return expiry(t, db) > first }, 20*time.Second, 20*time.Millisecond)
			require.ErrorIs(t, other.Acquire(soon(t, 200*time.Millisecond)), context.DeadlineExceeded)
			release()
			require.NoError(t, other.Acquire(soon(t, 20*time.Second)))
			_, release = other.Hold(t.Context())
			release()
		})
		t.Run("ends when its holder dies", func(t *testing.T) {
			dead, other := newLock(t, db, 300*time.Millisecond, time.Hour), newLock(t, db, 300*time.Millisecond,
				time.Hour)
			require.NoError(t, dead.Acquire(t.Context()))
			require.NoError(t, other.Acquire(soon(t, 20*time.Second)))
			_, release := other.Hold(t.Context())
			release()
		})
		t.Run("cancels the work of a holder that lost it", func(t *testing.T) {
			holder := newLock(t, db, time.Minute, 20*time.Millisecond)
			require.NoError(t, holder.Acquire(t.Context()))
			held, release := holder.Hold(t.Context())
			defer release()
			exec(t, db.DB, "UPDATE postroom_schema_lock SET owner = 'thief'")
			select {
			case <-held.Done():
				require.ErrorIs(t, context.Cause(held), migrations.ErrLockLost)
			case <-time.After(20 * time.Second):
				t.Fatal("the holder goes on")
			}
		})
	})
}

// Hazard two-migrators.
// The test makes the interleaving of store.Insert: a process pauses in the middle of its work for longer than
// the lease, another one takes the lock, and the first one continues.
func TestAHolderThatLostTheLockRecordsNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		zombie := newLock(t, db, time.Minute, time.Hour)
		require.NoError(t, zombie.Acquire(t.Context()))
		exec(t, db.DB, "UPDATE postroom_schema_lock SET owner = 'successor'")

		_, err := zombie.Up(t.Context())
		require.ErrorIs(t, err, migrations.ErrLockLost)
		require.Equal(t, 0, count(t, db, "SELECT count(*) FROM postroom_schema"))
		require.Equal(
			t, db.Dialect == migrations.MySQL, exists(t, db, "outbox_events"), "rolled back where that is possible",
		)

		exec(t, db.DB, "UPDATE postroom_schema_lock SET owner = NULL, expires_at = NULL")
		require.Len(t, apply(t, db, migrations.Options{}), len(allFiles), "the successor can do the work")
		require.Equal(t, 1, count(t, db, "SELECT count(*) FROM outbox_leases"))
	})
}
