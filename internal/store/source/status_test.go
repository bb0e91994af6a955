package source_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/dbtest/storetest"
	"github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/internal/store/source"
)

func TestStatusTellsOwnerBacklogAndOldestEvent(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		fresh, err := sourceOf(t, db).State(t.Context())
		require.NoError(t, err)
		require.Empty(t, fresh.Owner)
		require.Empty(t, fresh.Source)
		require.Zero(t, fresh.Backlog)
		require.Nil(t, fresh.Oldest)
		require.NotEmpty(t, fresh.SourceID)

		r := storetest.Relay(t, db)
		_, err = r.Inspect(t.Context(), "orders")
		require.NoError(t, err)
		owner := uuid.New()
		lease, ok, err := r.Claim(t.Context(), relay.Claim{Owner: owner, Mode: "at-least-once", TTL: time.Minute})
		require.NoError(t, err)
		require.True(t, ok)
		for range 3 {
			_, err = db.DB.ExecContext(t.Context(), "INSERT INTO outbox_events (topic) VALUES ('orders')")
			require.NoError(t, err)
		}
		require.NoError(t, r.Note(t.Context(), lease, relay.Halted(`it says "no"`)))
		require.NoError(t, r.Note(t.Context(), lease, relay.SinkUnreachable(true)))

		s, err := sourceOf(t, db).State(t.Context())
		require.NoError(t, err)
		require.Equal(t, "orders", s.Source)
		require.Equal(t, owner.String(), s.Owner)
		require.EqualValues(t, 1, s.Epoch)
		require.Equal(t, "at-least-once", s.Mode)
		require.Equal(t, `it says "no"`, s.Halted)
		since, err := time.Parse(time.RFC3339, s.Blind)
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), since, 20*time.Second)
		require.InDelta(t, time.Minute, s.LeaseLeft, float64(20*time.Second))
		require.WithinDuration(t, time.Now().Add(time.Minute), s.ExpiresAt, 20*time.Second)
		require.EqualValues(t, 3, s.Backlog)
		require.False(t, s.Estimated)
		require.Equal(t, "orders", s.Oldest.Topic)
		require.WithinDuration(t, time.Now(), s.Oldest.CreatedAt, 20*time.Second)
		require.InDelta(t, 0, s.Oldest.Age, float64(20*time.Second))
	})
}

func TestStatusEstimatesALargeBacklog(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.PostgreSQL(t))
	_, err := db.DB.ExecContext(
		t.Context(), "INSERT INTO outbox_events (topic) SELECT 'orders' FROM generate_series(1, 200002)",
	)
	require.NoError(t, err)
	s, err := sourceOf(t, db).State(t.Context())
	require.NoError(t, err)
	require.True(t, s.Estimated)
	require.GreaterOrEqual(t, s.Backlog, int64(200_001))
}

func TestStatusCountsParkedRows(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := storetest.Relay(t, db)
		l := storetest.MustClaim(t, r)
		k := storetest.Keyed{"orders", "k"}
		e := storetest.Insert(t, db, k, k, k, k, k)
		storetest.Park(t, r, l, e...)
		for i, state := range map[int]string{1: "failed", 3: "retry", 4: "drop"} {
			dbtest.Exec(t, db.DB, fmt.Sprintf("UPDATE outbox_parked SET state = '%s' WHERE id = %d", state, e[i].ID))
		}
		s, err := sourceOf(t, db).State(t.Context())
		require.NoError(t, err)
		require.Equal(t, source.ParkedCounts{Failed: 2, Blocked: 1, Asked: 2}, s.Parked)
		require.EqualValues(t, 5, s.Parked.All())
	})
}

func TestASourceIsOwnedWhileItsLeaseLasts(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		owned := func() bool {
			o, err := sourceOf(t, db).Owned(t.Context())
			require.NoError(t, err)
			return o
		}
		require.False(t, owned())
		storetest.MustClaim(t, storetest.Relay(t, db))
		require.True(t, owned())
		storetest.Expire(t, db)
		require.False(t, owned())
	})
}
