package dialect_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/dialect"
)

func TestADeleteRemovesWhatItNamesAndNothingElse(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		insert(t, db, 20)
		e := eventsAbove(t, r, 0)
		other := func(e dialect.Event) dialect.Event { return dialect.Event{ID: e.ID, EventID: uuid.New()} }
		thief := l
		thief.Owner = uuid.New()

		for _, test := range []struct {
			name  string
			lease dialect.Lease
			d     dialect.Deletion
			gone  []int
		}{
			{"nothing", l, dialect.Deletion{}, nil},
			{"a list", l, dialect.Deletion{Events: []dialect.Event{e[0], e[2]}}, []int{0, 2}},
			{"a list with an id that came back", l, dialect.Deletion{Events: []dialect.Event{e[1], other(e[3])}}, []int{1}},
			{"a list with a row that is gone", l, dialect.Deletion{Events: []dialect.Event{e[0], e[4]}}, []int{4}},
			{"a run", l, dialect.Deletion{Runs: []dialect.Run{{Lo: e[5].ID, Last: e[8]}}}, []int{5, 6, 7, 8}},
			{"a run whose last id came back", l, dialect.Deletion{Runs: []dialect.Run{{Lo: e[9].ID, Last: other(e[11])}}}, nil},
			{"a run whose last row is gone", l, dialect.Deletion{Runs: []dialect.Run{{Lo: e[3].ID, Last: e[8]}}}, nil},
			{"runs and a list", l, dialect.Deletion{
				Runs: []dialect.Run{{Lo: e[9].ID, Last: e[10]}, {Lo: e[12].ID, Last: e[13]}}, Events: []dialect.Event{e[15], e[17]},
			}, []int{9, 10, 12, 13, 15, 17}},
			{"another owner's", thief, dialect.Deletion{
				Runs: []dialect.Run{{Lo: e[18].ID, Last: e[19]}}, Events: []dialect.Event{e[16]},
			}, nil},
		} {
			before := eventsAbove(t, r, 0)
			n, err := r.Delete(t.Context(), test.lease, test.d)
			require.NoError(t, err, test.name)
			require.EqualValues(t, len(test.gone), n, test.name)
			var want []dialect.Event
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

// More than any database takes as parameters of one statement. Most of the rows are
// gone, because SQLite takes long to write so many.
func TestADeleteTakesAListOfAnyLength(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		r := newRelay(t, db)
		l := mustClaim(t, r)
		fill(t, db, 1001)
		events := eventsAbove(t, r, 0)
		kept, list := events[1000], events[:1000:1000]
		for id := range int64(70_000) {
			list = append(list, dialect.Event{ID: 1_000_000 + id, EventID: uuid.New()})
		}
		n, err := r.Delete(t.Context(), l, dialect.Deletion{Events: list})
		require.NoError(t, err)
		require.EqualValues(t, 1000, n)
		require.Equal(t, []dialect.Event{kept}, eventsAbove(t, r, 0))
	})
}

// A writer stays open with ids before, between and behind the rows that are deleted.
// The delete must not wait for it: nothing would be freed while one writer is open.
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
		exec(t, db.DB, map[dialect.Dialect]string{dialect.PostgreSQL: "ANALYZE outbox_events", dialect.MySQL: "ANALYZE TABLE outbox_events"}[db.Dialect])
	}
	events := eventsAbove(t, r, 0)
	require.Len(t, events, 2*rows)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	n, err := r.Delete(ctx, l, dialect.Deletion{Runs: []dialect.Run{{Lo: events[0].ID, Last: events[rows-1]}}})
	require.NoError(t, err, "the run waited")
	require.EqualValues(t, rows, n)
	n, err = r.Delete(ctx, l, dialect.Deletion{Events: events[rows:]})
	require.NoError(t, err, "the list waited")
	require.EqualValues(t, rows, n)
	// And the other way round: the writer is not kept waiting by the delete.
	open()
	require.NoError(t, writer.Commit())
	require.Equal(t, 4, countRows(t, db))
}
