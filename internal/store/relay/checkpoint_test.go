package relay_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
)

func TestWhatIsProvedOutlivesAClaimAndIsTheOwnersToWriteOnItsServer(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		first := mustClaim(t, r)
		require.Nil(t, first.Checkpoint)
		kept, err := r.Checkpoint(t.Context(), first)
		require.NoError(t, err)
		require.Nil(t, kept)

		require.NoError(t, r.SetCheckpoint(t.Context(), first, []byte(`{"up_to": 7, "open": [[2, 3]]}`)))
		kept, err = r.Checkpoint(t.Context(), first)
		require.NoError(t, err)
		require.JSONEq(t, `{"up_to": 7, "open": [[2, 3]]}`, string(kept))
		expire(t, db)
		second := mustClaim(t, r)
		require.JSONEq(t, string(kept), string(second.Checkpoint))

		require.NoError(t, r.SetCheckpoint(t.Context(), first, []byte(`{"up_to": 8}`)), "it is a hint: nothing tells")
		elsewhere := second
		elsewhere.Server = "another"

		require.NoError(t, r.SetCheckpoint(t.Context(), elsewhere, []byte(`{"up_to": 9}`)))
		none, err := r.Checkpoint(t.Context(), elsewhere)
		require.NoError(t, err)
		require.Nil(t, none)

		again, err := r.Checkpoint(t.Context(), second)
		require.NoError(t, err)
		require.JSONEq(t, string(kept), string(again))
		require.NoError(t, r.SetCheckpoint(t.Context(), second, []byte(`null`)))
		again, err = r.Checkpoint(t.Context(), second)
		require.NoError(t, err)
		require.Nil(t, again)
	})
}
