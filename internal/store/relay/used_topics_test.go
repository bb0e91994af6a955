package relay_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/relay"
)

func TestTopicsInUseOutliveAClaimAndAreTheOwnersToWrite(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		none, err := r.ReadNote(t.Context(), relay.Lease{}, relay.FieldTopics)
		require.NoError(t, err)
		require.Empty(t, none)

		first := mustClaim(t, r)
		require.NoError(t, r.Note(t.Context(), first, relay.Position([]byte(`{"offset": 7}`))))
		require.NoError(
			t, r.Note(t.Context(), first, relay.UsedTopics([]byte(`{"orders": "2026-11-28", "a.b'c": "2026-11-29"}`))),
		)
		expire(t, db)
		second := mustClaim(t, r)
		require.JSONEq(t, `{"offset": 7}`, string(second.Position))
		kept, err := r.ReadNote(t.Context(), second, relay.FieldTopics)
		require.NoError(t, err)
		require.Equal(t, map[string]string{"orders": "2026-11-28", "a.b'c": "2026-11-29"}, relay.ParseTopics(kept))

		require.ErrorIs(t, r.Note(t.Context(), first, relay.UsedTopics([]byte(`{}`))), relay.ErrLeaseLost)
		require.ErrorIs(
			t, r.Note(t.Context(), relay.Lease{Owner: uuid.New(), Epoch: second.Epoch}, relay.UsedTopics([]byte(`{}`))),
			relay.ErrLeaseLost,
		)
	})
}
