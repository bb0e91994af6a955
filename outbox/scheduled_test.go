package outbox_test

import (
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	postroomdb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/outbox/outboxtest"
)

func TestScheduling(t *testing.T) {
	tests := []struct {
		name string
		run  func(t *testing.T, db dbtest.Database)
	}{
		{"a scheduled event waits in its own table as it was given", aScheduledEventWaitsInItsOwnTable},
		{"scheduled and other events go where they belong in their order", scheduledAndOtherEventsGoWhereTheyBelong},
		{"times are kept to the microsecond, rounded up", timesAreKeptToTheMicrosecond},
		{"rolled back events are not scheduled", rolledBackEventsAreNotScheduled},
		{"more events than a statement takes are scheduled in order", moreEventsThanAStatementTakesAreScheduled},
		{"an ID is scheduled once", anIDIsScheduledOnce},
		{"Cancel takes back what is there and says how many", cancelTakesBackWhatIsThere},
		{"Cancel takes more ids than a statement", cancelTakesMoreIDsThanAStatement},
		{"a rolled back Cancel has cancelled nothing", aRolledBackCancelHasCancelledNothing},
		{"scheduling needs one statement", schedulingNeedsOneStatement},
	}
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				for _, table := range []string{"outbox_events", "outbox_scheduled"} {
					_, err := db.DB.ExecContext(t.Context(), "DELETE FROM "+table)
					require.NoError(t, err)
				}
				test.run(t, db)
			})
		}
	})
}

var later = time.Date(2040, time.February, 29, 12, 30, 0, 0, time.UTC)

func cancel(t testing.TB, db dbtest.Database, ob *outbox.Outbox, ids ...uuid.UUID) (n int64) {
	t.Helper()
	inTx(t, db.DB, func(tx *sql.Tx) {
		var err error
		n, err = ob.Cancel(t.Context(), tx, ids...)
		require.NoError(t, err)
	})
	return n
}

func aScheduledEventWaitsInItsOwnTable(t *testing.T, db dbtest.Database) {
	ob := newOutbox(t, db)
	events := []outbox.Event{
		{
			Topic: "orders", Key: "o'1 ü ", Type: "order.unpaid", Payload: []byte{0, 255, '\\', '\''},
			Headers: map[string]string{"tenant": "a"}, DeliverAt: later,
		},
		{Topic: "orders", Payload: []byte{}, DeliverAt: later.Add(time.Microsecond)},
		{Topic: "orders", DeliverAt: later.Add(2 * time.Microsecond)},
	}
	add(t, db, ob, events...)
	require.NotEqual(t, uuid.Nil, events[0].ID)
	require.Equal(t, events, outboxtest.Scheduled(t, db.DB, ob))
	require.Empty(t, rowsOf(t, db.DB))
}

func scheduledAndOtherEventsGoWhereTheyBelong(t *testing.T, db dbtest.Database) {
	for _, ob := range []*outbox.Outbox{newOutbox(t, db), newOutbox(t, db, outbox.StrictKeyOrder())} {
		events := []outbox.Event{
			{Topic: "t", Key: "k", Type: "4", DeliverAt: later},
			{Topic: "t", Key: "k", Type: "1"},
			{Topic: "t", Key: "k", Type: "5", DeliverAt: later},
			{Topic: "t", Key: "k", Type: "2"},
			{Topic: "t", Key: "k", Type: "3", DeliverAt: time.Now().Add(-time.Hour)}, // no error
		}
		add(t, db, ob, events...)
		require.Equal(t, []string{"1", "2"}, types(outboxtest.Events(t, db.DB, ob)))
		require.Equal(t, []string{"3", "4", "5"}, types(outboxtest.Scheduled(t, db.DB, ob)))
		for _, table := range []string{"outbox_events", "outbox_scheduled"} {
			_, err := db.DB.ExecContext(t.Context(), "DELETE FROM "+table)
			require.NoError(t, err)
		}
	}
}

func types(events []outbox.Event) (all []string) {
	for _, e := range events {
		all = append(all, e.Type)
	}
	return all
}

func timesAreKeptToTheMicrosecond(t *testing.T, db dbtest.Database) {
	ob := newOutbox(t, db)
	berlin := time.FixedZone("CEST", 2*60*60)
	for given, want := range map[time.Time]string{
		later.Add(1):           "2040-02-29T12:30:00.000001Z",
		later.Add(999_999_001): "2040-02-29T12:30:01Z",
		later.Add(123_456_000): "2040-02-29T12:30:00.123456Z",
		time.Date(2040, time.July, 1, 0, 30, 0, 0, berlin): "2040-06-30T22:30:00Z",
		time.Unix(0, 0): "1970-01-01T00:00:00Z",
		time.Date(9999, time.December, 31, 23, 59, 59, 999_999_000, time.UTC): "9999-12-31T23:59:59.999999Z",
	} {
		e := outbox.Event{ID: uuid.New(), Topic: "t", DeliverAt: given}
		add(t, db, ob, e)
		got := outboxtest.Scheduled(t, db.DB, ob)
		require.Len(t, got, 1)
		require.Equal(t, want, got[0].DeliverAt.Format(time.RFC3339Nano))
		require.EqualValues(t, 1, cancel(t, db, ob, e.ID))
	}
}

func rolledBackEventsAreNotScheduled(t *testing.T, db dbtest.Database) {
	ob, tx := newOutbox(t, db), begin(t, db.DB)
	require.NoError(t, ob.Add(t.Context(), tx, outbox.Event{Topic: "t", DeliverAt: later}))
	require.NoError(t, tx.Rollback())
	require.Empty(t, outboxtest.Scheduled(t, db.DB, ob))
}

// 10,000 events need 70,000 parameters; a statement takes 65,535, SQLite's 32,766.
func moreEventsThanAStatementTakesAreScheduled(t *testing.T, db dbtest.Database) {
	events := make([]outbox.Event, 10_000)
	for i := range events {
		events[i] = outbox.Event{Topic: "t", Key: fmt.Sprint(i), DeliverAt: later}
	}
	ob := newOutbox(t, db)
	add(t, db, ob, events...)
	got := outboxtest.Scheduled(t, db.DB, ob)
	require.Len(t, got, len(events))
	for i := range got {
		if got[i].ID != events[i].ID {
			t.Fatalf("place %d has event %s", i, got[i].Key)
		}
	}
}

func anIDIsScheduledOnce(t *testing.T, db dbtest.Database) {
	ob, e := newOutbox(t, db), outbox.Event{ID: uuid.New(), Topic: "t", DeliverAt: later}
	add(t, db, ob, e)
	tx := begin(t, db.DB)
	err := ob.Add(t.Context(), tx, e)
	require.True(t, postroomdb.IsDuplicate(err), "%v", err)
	require.ErrorContains(t, err, "scheduled already")
	require.ErrorContains(t, err, "outbox_scheduled")
	require.NoError(t, tx.Rollback())
}

func cancelTakesBackWhatIsThere(t *testing.T, db dbtest.Database) {
	ob := newOutbox(t, db)
	events := []outbox.Event{
		{Topic: "t", Type: "1", DeliverAt: later}, {Topic: "t", Type: "2", DeliverAt: later},
		{Topic: "t", Type: "3", DeliverAt: later}, {Topic: "t", Type: "4"},
	}
	add(t, db, ob, events...)
	require.EqualValues(t, 1, cancel(t, db, ob, events[1].ID))
	require.Zero(t, cancel(t, db, ob, events[1].ID), "cancelled already")
	require.Zero(t, cancel(t, db, ob, events[3].ID, uuid.New()), "one that was not scheduled, and one that is unknown")
	require.EqualValues(t, 1, cancel(t, db, ob, events[2].ID, events[1].ID, events[2].ID), "named twice")
	require.Equal(t, []string{"1"}, types(outboxtest.Scheduled(t, db.DB, ob)))
	require.Equal(t, []string{"4"}, types(outboxtest.Events(t, db.DB, ob)))
}

func cancelTakesMoreIDsThanAStatement(t *testing.T, db dbtest.Database) {
	ob := newOutbox(t, db)
	events, ids := make([]outbox.Event, 2500), []uuid.UUID{}
	for i := range events {
		events[i] = outbox.Event{Topic: "t", DeliverAt: later}
	}
	add(t, db, ob, events...)
	for _, e := range events[1:] {
		ids = append(ids, e.ID)
	}
	require.EqualValues(t, len(events)-1, cancel(t, db, ob, ids...))
	require.Len(t, outboxtest.Scheduled(t, db.DB, ob), 1)
}

func aRolledBackCancelHasCancelledNothing(t *testing.T, db dbtest.Database) {
	ob, e := newOutbox(t, db), outbox.Event{ID: uuid.New(), Topic: "t", DeliverAt: later}
	add(t, db, ob, e)
	tx := begin(t, db.DB)
	n, err := ob.Cancel(t.Context(), tx, e.ID)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	require.Empty(t, outboxtest.Scheduled(t, tx, ob))
	require.NoError(t, tx.Rollback())
	require.Len(t, outboxtest.Scheduled(t, db.DB, ob), 1)
}

func schedulingNeedsOneStatement(t *testing.T, db dbtest.Database) {
	ob, tx := newOutbox(t, db, outbox.StrictKeyOrder()), &counting{Tx: begin(t, db.DB)}
	scheduled := outbox.Event{Topic: "t", Key: "k", DeliverAt: later}
	require.NoError(t, ob.Add(t.Context(), tx, scheduled, scheduled))
	require.Equal(t, 1, tx.statements, "no lock either: the relay takes it when it moves them")
	tx.statements = 0
	_, err := ob.Cancel(t.Context(), tx, uuid.New(), uuid.New())
	require.NoError(t, err)
	require.Equal(t, 1, tx.statements)
}

func TestSchedulingRefusesBadTimesBeforeAnySQL(t *testing.T) {
	ob, err := outbox.New(outbox.SQLite)
	require.NoError(t, err)
	for name, at := range map[string]time.Time{
		"before 1970":                  time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC),
		"after 9999":                   time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		"after 9999, by rounding":      time.Date(9999, 12, 31, 23, 59, 59, 999_999_001, time.UTC),
		"after 9999, by its time zone": time.Date(9999, 12, 31, 23, 30, 0, 0, time.FixedZone("", -3600)),
	} {
		e := outbox.Event{Topic: "t", DeliverAt: at}
		require.ErrorIs(t, ob.Add(t.Context(), untouchable{t}, e), outbox.ErrInvalidTime, name)
		require.ErrorIs(t, ob.Check(e), outbox.ErrInvalidTime, name)
	}
}

func TestCancelWithoutIDsOrTransaction(t *testing.T) {
	ob, err := outbox.New(outbox.SQLite)
	require.NoError(t, err)
	n, err := ob.Cancel(t.Context(), untouchable{t})
	require.NoError(t, err)
	require.Zero(t, n)
	_, err = ob.Cancel(t.Context(), nil, uuid.New())
	require.ErrorIs(t, err, outbox.ErrNoTransaction)
	_, err = ob.Cancel(t.Context(), (*sql.Tx)(nil), uuid.New())
	require.ErrorIs(t, err, outbox.ErrNoTransaction)
}

// The tables of a build before scheduled events.
func TestSchedulingWithOlderTablesSaysHowToMakeThem(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		_, err := db.DB.ExecContext(t.Context(), "DROP TABLE outbox_scheduled")
		require.NoError(t, err)
		ob := newOutbox(t, db)
		add(t, db, ob, outbox.Event{Topic: "t"})

		tx := begin(t, db.DB)
		err = ob.Add(t.Context(), tx, outbox.Event{Topic: "t", DeliverAt: later})
		require.ErrorIs(t, err, outbox.ErrNotMigrated)
		require.ErrorContains(t, err, "relay migrate up")
		require.NoError(t, tx.Rollback())

		tx = begin(t, db.DB)
		_, err = ob.Cancel(t.Context(), tx, uuid.New())
		require.ErrorIs(t, err, outbox.ErrNotMigrated)
		require.ErrorContains(t, err, "relay migrate up")
		require.NoError(t, tx.Rollback())
	})
}

func TestSchedulingFindsTablesWithPrefixAndSchema(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		ob := newOutbox(t, migrateElsewhere(t, db), elsewhere(db.Dialect)...)
		events := []outbox.Event{{Topic: "t", DeliverAt: later}, {Topic: "t", DeliverAt: later}}
		add(t, db, ob, events...)
		require.EqualValues(t, 1, cancel(t, db, ob, events[0].ID))
		require.Equal(t, events[1:], outboxtest.Scheduled(t, db.DB, ob))
	})
}

// With the rights of docs/tables.md, and with those of a writer that never schedules.
func TestSchedulingNeedsRightsOnItsOwnTableOnly(t *testing.T) {
	for name, open := range map[string]func(testing.TB) dbtest.Database{
		"postgresql15": dbtest.PostgreSQL, "mariadb": dbtest.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			db := dbtest.Migrate(t, open(t))
			e := outbox.Event{ID: uuid.New(), Topic: "t", DeliverAt: later}
			scheduler := dbtest.Restricted(t, db, "SELECT, INSERT, DELETE ON outbox_scheduled")
			add(t, scheduler, newOutbox(t, db), e)
			require.EqualValues(t, 1, cancel(t, scheduler, newOutbox(t, db), e.ID))

			writer := dbtest.Restricted(t, db, "INSERT ON outbox_events")
			err := newOutbox(t, db).Add(t.Context(), begin(t, writer.DB), e)
			require.True(t, postroomdb.IsDenied(err), "%v", err)
			require.ErrorContains(t, err, "DELETE on outbox_scheduled")
			_, err = newOutbox(t, db).Cancel(t.Context(), begin(t, writer.DB), e.ID)
			require.True(t, postroomdb.IsDenied(err), "%v", err)
			require.ErrorContains(t, err, "DELETE on outbox_scheduled")
		})
	}
}
