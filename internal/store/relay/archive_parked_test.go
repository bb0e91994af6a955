package relay_test

import (
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/relay"
)

func TestADeliveredParkedRowIsArchivedAsTheEventThatItWas(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newArchiving(t, db)
		l := mustClaim(t, r)
		e := insertKeyed(t, db, keyed{"orders", "k"}, keyed{"orders", "k"}, keyed{"orders", "k"})
		before := wholeRows(t, db, sqldb.Events)
		parkAll(t, r, l, e...)
		rows := parkedRows(t, db)
		setState(t, db, sqldb.ParkedRetry, rows...)

		var named []relay.DeliveredParked
		for i, p := range rows {
			named = append(
				named, relay.DeliveredParked{ParkedEvent: name(p), Partition: 3, Offset: int64(70 + i), Placed: i > 0},
			)
		}
		freed, err := r.Unpark(t.Context(), l, nil)
		require.NoError(t, err)
		require.Empty(t, freed)

		other := named[2]
		other.EventID = uuid.New()
		freed, err = r.Unpark(t.Context(), l, []relay.DeliveredParked{named[1], named[0], other})
		require.NoError(t, err)
		require.Empty(t, freed, "the third is parked still")
		require.Equal(t, []string{
			fmt.Sprint(e[0].ID, " ", e[0].EventID, " somewhere"), fmt.Sprint(e[1].ID, " ", e[1].EventID, " 3:71"),
		}, archived(t, db))

		thief := l
		thief.Owner = uuid.New()
		_, err = r.Unpark(t.Context(), thief, named[2:])
		require.ErrorIs(t, err, relay.ErrLeaseLost)
		require.Len(t, archived(t, db), 2)

		freed, err = r.Unpark(t.Context(), l, named[2:])
		require.NoError(t, err)
		require.Equal(t, []sqldb.EventKey{{Topic: "orders", Key: "k"}}, freed)
		require.Equal(t, before, wholeRows(t, db, sqldb.Archive))
		require.Empty(t, parkedRows(t, db))
	})
}

func TestWhatATransactionHadSentOutOfTheParkedRowsIsArchived(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newArchiving(t, db)
		l := mustClaim(t, r)
		e := insertKeyed(t, db, keyed{"orders", "k"}, keyed{"orders", "k"})
		parkAll(t, r, l, e...)
		found := sentParked(t, r, e[0], relay.Event{ID: e[1].ID, EventID: uuid.New()})
		require.Len(t, found, 1)
		_, err := r.Unpark(t.Context(), l, found)
		require.NoError(t, err)
		require.Equal(t, []string{fmt.Sprint(e[0].ID, " ", e[0].EventID, " somewhere")}, archived(t, db))
		require.Len(t, parkedRows(t, db), 1)
	})
}
