package relay_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/relay"
)

func TestADeleteRemovesWhatItNamesAndNothingElse(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		insert(t, db, 20)
		e := eventsAbove(t, r, 0)
		other := func(e relay.Event) relay.Event { return relay.Event{ID: e.ID, EventID: uuid.New()} }
		thief := l
		thief.Owner = uuid.New()

		for _, test := range []struct {
			name  string
			lease relay.Lease
			d     relay.Deletion
			gone  []int
		}{
			{"nothing", l, relay.Deletion{}, nil},
			{"a list", l, relay.Deletion{Events: []relay.Event{e[0], e[2]}}, []int{0, 2}},
			{"a list with an id that came back", l, relay.Deletion{Events: []relay.Event{e[1], other(e[3])}}, []int{1}},
			{"a list with a row that is gone", l, relay.Deletion{Events: []relay.Event{e[0], e[4]}}, []int{4}},
			{"a run", l, relay.Deletion{Runs: []relay.Run{{Lo: e[5].ID, Last: e[8]}}}, []int{5, 6, 7, 8}},
			{
				"a run whose last id came back", l,
				relay.Deletion{Runs: []relay.Run{{Lo: e[9].ID, Last: other(e[11])}}}, nil,
			},
			{"a run whose last row is gone", l, relay.Deletion{Runs: []relay.Run{{Lo: e[3].ID, Last: e[8]}}}, nil},
			{"runs and a list", l, relay.Deletion{
				Runs:   []relay.Run{{Lo: e[9].ID, Last: e[10]}, {Lo: e[12].ID, Last: e[13]}},
				Events: []relay.Event{e[15], e[17]},
			}, []int{9, 10, 12, 13, 15, 17}},
			{"another owner's", thief, relay.Deletion{
				Runs: []relay.Run{{Lo: e[18].ID, Last: e[19]}}, Events: []relay.Event{e[16]},
			}, nil},
		} {
			before := eventsAbove(t, r, 0)
			n, err := r.Delete(t.Context(), test.lease, test.d)
			require.NoError(t, err, test.name)
			require.EqualValues(t, len(test.gone), n, test.name)
			var want []relay.Event
			for _, b := range before {
				dead := false
				for _, i := range test.gone {
					dead = dead || e[i] == b
				}
				if !dead {
					want = append(want, b)
				}
			}
			require.Equal(t, want, eventsAbove(t, r, 0), test.name)
		}
	})
}

// The list is longer than the number of parameters that any database accepts in one statement. Most of the
// rows are gone, because SQLite needs long to write so many.
func TestADeleteTakesAListOfAnyLength(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		dbtest.FillEvents(t, db, 1001)
		events := eventsAbove(t, r, 0)
		kept, list := events[1000], events[:1000:1000]
		for id := range int64(70_000) {
			list = append(list, relay.Event{ID: 1_000_000 + id, EventID: uuid.New()})
		}
		n, err := r.Delete(t.Context(), l, relay.Deletion{Events: list})
		require.NoError(t, err)
		require.EqualValues(t, 1000, n)
		require.Equal(t, []relay.Event{kept}, eventsAbove(t, r, 0))
	})
}

// A writer stays open with ids before, between and behind the deleted rows. The delete must not wait for it.
// Otherwise nothing would be deleted while one writer is open.
func TestADeleteDoesNotWaitForOpenWriters(t *testing.T) {
	each := func(t *testing.T, db dbtest.Database) {
		for _, rows := range []int{1, 2, 5, 20, 600} {
			for _, statistics := range []string{"kept", "fresh"} {
				t.Run(fmt.Sprint(rows, " rows, statistics ", statistics), func(t *testing.T) {
					deleteBesideWriters(t, db, rows, statistics == "fresh")
				})
			}
		}
	}
	t.Run("postgresql15", func(t *testing.T) { each(t, dbtest.Migrate(t, dbtest.PostgreSQL(t))) })
	t.Run("mariadb", func(t *testing.T) { each(t, dbtest.Migrate(t, dbtest.MariaDB(t))) })
}

func deleteBesideWriters(t *testing.T, db dbtest.Database, rows int, analyze bool) {
	exec(t, db.DB, "DELETE FROM outbox_events")
	exec(t, db.DB, "UPDATE outbox_leases SET owner = NULL")
	r := newRelay(t, db)
	l := mustClaim(t, r)
	writer := begin(t, db.DB, nil)
	open := func() {
		_, err := writer.ExecContext(t.Context(), "INSERT INTO outbox_events (topic) VALUES ('open')")
		require.NoError(t, err)
	}
	open()
	insert(t, db, rows)
	open()
	insert(t, db, rows)
	open()
	if analyze {
		exec(t, db.DB, map[sqldb.Dialect]string{
			sqldb.PostgreSQL: "ANALYZE outbox_events", sqldb.MySQL: "ANALYZE TABLE outbox_events",
		}[db.Dialect])
	}
	events := eventsAbove(t, r, 0)
	require.Len(t, events, 2*rows)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	n, err := r.Delete(ctx, l, relay.Deletion{Runs: []relay.Run{{Lo: events[0].ID, Last: events[rows-1]}}})
	require.NoError(t, err, "the run waited")
	require.EqualValues(t, rows, n)
	n, err = r.Delete(ctx, l, relay.Deletion{Events: events[rows:]})
	require.NoError(t, err, "the list waited")
	require.EqualValues(t, rows, n)
	// The writer must not wait for the delete either.
	open()
	require.NoError(t, writer.Commit())
	require.Equal(t, 4, countRows(t, db))
}
