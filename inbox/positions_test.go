package inbox_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/dbtest"
)

func TestAHoldSkipsWhatIsNoMessageUnlessItWasTaken(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		ib, err := inbox.New(db.Dialect, "billing")
		require.NoError(t, err)
		hold := func() *inbox.PartitionClaim {
			h, err := ib.ClaimPartition(t.Context(), db.DB, "orders", 3)
			require.NoError(t, err)
			return h
		}
		next := func() int64 {
			offset, known := hold().Next()
			require.True(t, known)
			return offset
		}
		h := hold()
		require.NoError(t, h.Skip(t.Context(), db.DB, 7))
		require.NoError(t, h.Skip(t.Context(), db.DB, 7), "once more, after an answer that was lost")
		require.NoError(t, h.Skip(t.Context(), db.DB, 5), "it is further")
		offset, known := h.Next()
		require.True(t, known)
		require.EqualValues(t, 7, offset)
		require.EqualValues(t, 7, next())
		require.ErrorIs(t, h.Skip(t.Context(), db.DB, 9), inbox.ErrFenced)
		require.EqualValues(t, 7, next())
	})
}

func TestTheLowestPositionOfEachPartitionIsFound(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		for id, at := range map[string]struct {
			consumer string
			position *inbox.Position
		}{
			"a": {"billing", &inbox.Position{Topic: "orders", Partition: 0, Offset: 9}},
			"b": {"billing", &inbox.Position{Topic: "orders", Partition: 0, Offset: 4}},
			"c": {"billing", &inbox.Position{Topic: "orders", Partition: 1, Offset: 12}},
			"d": {"billing", &inbox.Position{Topic: "Orders", Partition: 0, Offset: 2}},
			"e": {"billing", nil},
			"f": {"Billing", &inbox.Position{Topic: "orders", Partition: 0, Offset: 1}},
		} {
			ib, err := inbox.New(db.Dialect, at.consumer)
			require.NoError(t, err)
			tx, err := db.DB.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			fresh, err := ib.Accept(t.Context(), tx, inbox.Message{ID: id, Position: at.position})
			require.NoError(t, err)
			require.True(t, fresh)
			require.NoError(t, tx.Commit())
		}
		ib, err := inbox.New(db.Dialect, "billing")
		require.NoError(t, err)
		lowest, err := ib.LowestPositions(t.Context(), db.DB)
		require.NoError(t, err)
		require.ElementsMatch(t, []inbox.Position{
			{Topic: "orders", Partition: 0, Offset: 4}, {Topic: "orders", Partition: 1, Offset: 12},
			{Topic: "Orders", Partition: 0, Offset: 2},
		}, lowest)
	})
}
