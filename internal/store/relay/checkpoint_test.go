package relay_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/relay"
)

func TestWhatIsProvedOutlivesAClaimAndIsTheOwnersToWriteOnItsServer(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		first := mustClaim(t, r)
		require.Nil(t, first.Checkpoint)
		kept, err := r.ReadNote(t.Context(), first, relay.FieldCheckpoint)
		require.NoError(t, err)
		require.Nil(t, kept)

		require.NoError(t, r.Note(t.Context(), first, relay.Checkpoint([]byte(`{"up_to": 7, "open": [[2, 3]]}`))))
		kept, err = r.ReadNote(t.Context(), first, relay.FieldCheckpoint)
		require.NoError(t, err)
		require.JSONEq(t, `{"up_to": 7, "open": [[2, 3]]}`, string(kept))
		expire(t, db)
		second := mustClaim(t, r)
		require.JSONEq(t, string(kept), string(second.Checkpoint))

		require.NoError(t, r.Note(t.Context(), first, relay.Checkpoint([]byte(`{"up_to": 8}`))),
			"it is a hint: nothing tells")
		elsewhere := second
		elsewhere.Server = "another"

		require.NoError(t, r.Note(t.Context(), elsewhere, relay.Checkpoint([]byte(`{"up_to": 9}`))))
		none, err := r.ReadNote(t.Context(), elsewhere, relay.FieldCheckpoint)
		require.NoError(t, err)
		require.Nil(t, none)

		again, err := r.ReadNote(t.Context(), second, relay.FieldCheckpoint)
		require.NoError(t, err)
		require.JSONEq(t, string(kept), string(again))
		require.NoError(t, r.Note(t.Context(), second, relay.Checkpoint([]byte(`null`))))
		again, err = r.ReadNote(t.Context(), second, relay.FieldCheckpoint)
		require.NoError(t, err)
		require.Nil(t, again)
	})
}
