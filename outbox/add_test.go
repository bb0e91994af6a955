package outbox_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	postroomdb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/outbox"
)

func addWritesTheEventAsItWasGiven(t *testing.T, db dbtest.Database) {
	ob := newOutbox(t, db)
	given := uuid.MustParse("0190a6a1-0000-7000-8000-00000000cafe")
	add(t, db, ob, outbox.Event{
		ID: given, Topic: "orders", Key: "o-1", Type: "order.placed",
		Payload: []byte("body"), Headers: map[string]string{"tenant": "a"},
	})
	rows := rowsOf(t, db.DB)
	require.Len(t, rows, 1)
	r := rows[0]
	require.Equal(t, given, r.EventID)
	require.Equal(t, "orders", r.Topic)
	require.Equal(t, sql.NullString{String: "o-1", Valid: true}, r.Key)
	require.Equal(t, "order.placed", r.Type)
	require.Equal(t, "body", string(r.Payload))
	require.JSONEq(t, `{"tenant":"a"}`, r.Headers)
}

func addStoresWhatIsAbsentAsAbsent(t *testing.T, db dbtest.Database) {
	add(t, db, newOutbox(t, db), outbox.Event{Topic: "t", Payload: nil}, outbox.Event{Topic: "t", Payload: []byte{}})
	rows := rowsOf(t, db.DB)
	require.Len(t, rows, 2)
	require.True(t, rows[0].IsNull, "a nil payload is a tombstone")
	require.False(t, rows[1].IsNull, "an empty payload is no tombstone")
	require.Empty(t, rows[1].Payload)
	require.False(t, rows[0].Key.Valid, "no key is NULL")
	require.Empty(t, rows[0].Type)
	require.JSONEq(t, `{}`, rows[0].Headers)
}

func TestAddWithoutEventsSendsNothing(t *testing.T) {
	for _, opts := range [][]outbox.Option{nil, {outbox.StrictKeyOrder()}} {
		ob, err := outbox.New(outbox.PostgreSQL, opts...)
		require.NoError(t, err)
		require.NoError(t, ob.Add(t.Context(), untouchable{t}))
	}
}

func addFillsInIDsThatAscend(t *testing.T, db dbtest.Database) {
	events := make([]outbox.Event, 50)
	given := uuid.New()
	for i := range events {
		events[i].Topic = "t"
	}
	events[10].ID = given
	add(t, db, newOutbox(t, db), events...)
	require.Equal(t, given, events[10].ID, "an id that was given stays")
	last := uuid.Nil
	for i, r := range rowsOf(t, db.DB) {
		require.Equal(t, events[i].ID, r.EventID, "the caller sees the id that was written")
		if i != 10 {
			require.EqualValues(t, 7, r.EventID.Version())
			require.Positive(t, bytes.Compare(r.EventID[:], last[:]))
			last = r.EventID
		}
	}
}

// 20,000 events need 120,000 parameters; a statement takes 65,535, SQLite's 32,766.
func addKeepsTheOrderOfMoreEventsThanAStatementTakes(t *testing.T, db dbtest.Database) {
	events := make([]outbox.Event, 20_000)
	for i := range events {
		events[i] = outbox.Event{Topic: "t", Key: fmt.Sprint(i), Payload: []byte("x")}
	}
	add(t, db, newOutbox(t, db), events...)
	rows := rowsOf(t, db.DB)
	require.Len(t, rows, len(events))
	for i, r := range rows { // rows are in the order of their ids
		if r.Key.String != events[i].Key || r.EventID != events[i].ID {
			t.Fatalf("row %d is event %s", i, r.Key.String)
		}
	}
}

func addUsesOneStatementAndNoOtherRoundTrip(t *testing.T, db dbtest.Database) {
	tx := &counting{Tx: begin(t, db.DB)}
	events := make([]outbox.Event, 1000)
	for i := range events {
		events[i] = outbox.Event{Topic: "t", Key: fmt.Sprint(i)}
	}
	require.NoError(t, newOutbox(t, db).Add(t.Context(), tx, events...))
	require.Equal(t, 1, tx.statements)

	locks := map[outbox.Dialect]int{outbox.PostgreSQL: 1, outbox.MySQL: 1, outbox.SQLite: 0}
	tx.statements = 0
	require.NoError(t, newOutbox(t, db, outbox.StrictKeyOrder()).Add(t.Context(), tx, events...))
	require.Equal(t, 1+locks[db.Dialect], tx.statements, "all keys are locked in one statement")

	tx.statements = 0
	require.NoError(t, newOutbox(t, db, outbox.StrictKeyOrder()).Add(t.Context(), tx, outbox.Event{Topic: "t"}))
	require.Equal(t, 1, tx.statements, "events without a key need no lock")
}

func addKeepsEveryByteOfAPayload(t *testing.T, db dbtest.Database) {
	var all []byte
	for b := range 256 {
		all = append(all, byte(b), byte(b), byte(255-b))
	}
	add(
		t, db, newOutbox(t, db), outbox.Event{Topic: "t", Payload: all},
		outbox.Event{Topic: "t", Payload: []byte("\x00'\\\"%_?$1")},
	)
	rows := rowsOf(t, db.DB)
	require.Equal(t, all, rows[0].Payload)
	require.Equal(t, []byte("\x00'\\\"%_?$1"), rows[1].Payload)
}

func addKeepsKeysThatDifferInBytesOnly(t *testing.T, db dbtest.Database) {
	keys := []string{
		"abc", "ABC", "abc ", " abc", "äöü", "a\u0308", "ß", "ss", "訂單-1", "🛒", "O'Brien", `back\slash`, `"quoted"`,
		"tab\t", "line\nbreak",
		strings.Repeat("k", 512), strings.Repeat("🛒", 128),
	}
	for _, key := range keys {
		add(t, db, newOutbox(t, db), outbox.Event{Topic: "t", Key: key})
	}
	for i, r := range rowsOf(t, db.DB) {
		require.Equal(t, keys[i], r.Key.String)
	}
	var distinct int
	require.NoError(
		t, db.DB.QueryRowContext(t.Context(), "SELECT count(DISTINCT event_key) FROM outbox_events").Scan(&distinct),
	)
	require.Equal(t, len(keys), distinct, "the database takes no two of them for one key")
}

func addKeepsHeadersWhateverTheyContain(t *testing.T, db dbtest.Database) {
	headers := map[string]string{
		"plain": "v", "empty": "", "quotes": `"a" 'b'`, `na"me\`: `back\slash`, "html": "<a href='x'>&amp;</a>",
		"unicode": "ü 訂單 🛒 \u2028\u2029", "escapes": "\\u0041 \t \x01 \x7f", "json": `{"a":[1,2]}`,
		"placeholder": "$1 ? %s :name",
	}
	add(t, db, newOutbox(t, db), outbox.Event{Topic: "t", Headers: headers})
	var got map[string]string
	require.NoError(t, json.Unmarshal([]byte(rowsOf(t, db.DB)[0].Headers), &got))
	require.Equal(t, headers, got)
}

func rolledBackEventsAreNotThere(t *testing.T, db dbtest.Database) {
	tx := begin(t, db.DB)
	require.NoError(t, newOutbox(t, db).Add(t.Context(), tx, outbox.Event{Topic: "t"}))
	require.NoError(t, tx.Rollback())
	require.Empty(t, rowsOf(t, db.DB))
}

func addOnAClosedTransactionSaysSo(t *testing.T, db dbtest.Database) {
	for name, end := range map[string]func(*sql.Tx) error{"commit": (*sql.Tx).Commit, "rollback": (*sql.Tx).Rollback} {
		tx := begin(t, db.DB)
		require.NoError(t, end(tx))
		for _, ob := range []*outbox.Outbox{newOutbox(t, db), newOutbox(t, db, outbox.StrictKeyOrder())} {
			err := ob.Add(t.Context(), tx, outbox.Event{Topic: "t", Key: "k"})
			require.ErrorIs(t, err, sql.ErrTxDone, name)
			require.ErrorContains(t, err, "add events before Commit")
		}
	}
}

func TestAddWithoutTablesSaysHowToMakeThem(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		for _, opts := range [][]outbox.Option{nil, {outbox.StrictKeyOrder()}, {outbox.WithTablePrefix("shop_")}} {
			tx := begin(t, db.DB)
			err := newOutbox(t, db, opts...).Add(t.Context(), tx, outbox.Event{Topic: "t", Key: "k"})
			require.NoError(t, tx.Rollback())
			require.True(t, postroomdb.IsMissingTable(err), "%v", err)
			require.ErrorContains(t, err, "relay migrate up")
			require.ErrorContains(t, err, "outbox_events")
		}
	})
}

func TestAddToAnotherDatabaseThanTheDialectsSaysSo(t *testing.T) {
	for name, c := range map[string]struct {
		open  func(testing.TB) dbtest.Database
		wrong outbox.Dialect
	}{
		"postgresql": {dbtest.PostgreSQL, outbox.MySQL},
		"mariadb":    {dbtest.MariaDB, outbox.PostgreSQL},
	} {
		t.Run(name, func(t *testing.T) {
			ob, err := outbox.New(c.wrong)
			require.NoError(t, err)
			tx := begin(t, c.open(t).DB)
			defer func() { _ = tx.Rollback() }()
			require.ErrorContains(
				t, ob.Add(t.Context(), tx, outbox.Event{Topic: "t"}), "the dialect that outbox.New was given",
			)
		})
	}
}

func addHonoursACancelledContext(t *testing.T, db dbtest.Database) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tx := begin(t, db.DB)
	err := newOutbox(t, db).Add(ctx, tx, outbox.Event{Topic: "t"})
	require.ErrorIs(t, err, context.Canceled)
	_ = tx.Rollback()
	require.Empty(t, rowsOf(t, db.DB))
}

// migrateElsewhere makes the tables with a prefix, and on PostgreSQL in a schema.
func migrateElsewhere(t *testing.T, db dbtest.Database) dbtest.Database {
	names := migrations.Options{Prefix: "shop_"}
	if db.Dialect == outbox.PostgreSQL {
		names.Schema = "events"
	}
	_, err := migrations.Apply(t.Context(), db.DB, db.Dialect, names)
	require.NoError(t, err)
	return db
}

// elsewhere is where migrateElsewhere makes them.
func elsewhere(d outbox.Dialect) []outbox.Option {
	opts := []outbox.Option{outbox.WithTablePrefix("shop_")}
	if d == outbox.PostgreSQL {
		opts = append(opts, outbox.WithSchema("events"))
	}
	return opts
}

func TestAddFindsTablesWithPrefixAndSchema(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		opts, table := elsewhere(migrateElsewhere(t, db).Dialect), "shop_outbox_events"
		if db.Dialect == outbox.PostgreSQL {
			table = "events.shop_outbox_events"
		}
		for _, opts := range [][]outbox.Option{opts, append(opts, outbox.StrictKeyOrder())} {
			add(t, db, newOutbox(t, db, opts...), outbox.Event{Topic: "t", Key: "k"})
		}
		require.Len(t, rowsIn(t, db.DB, table), 2)
	})
}

// A writer needs INSERT on one table, and no other right.
func TestAddNeedsNoRightButInsert(t *testing.T) {
	for name, open := range map[string]func(testing.TB) dbtest.Database{
		"postgresql15": dbtest.PostgreSQL, "mariadb": dbtest.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			db := dbtest.Migrate(t, open(t))
			writer := dbtest.Restricted(t, db, "INSERT ON outbox_events")
			add(t, writer, newOutbox(t, db), outbox.Event{Topic: "t"}, outbox.Event{Topic: "t"})
			require.Len(t, rowsOf(t, db.DB), 2)

			stranger := dbtest.Restricted(t, db, "SELECT ON outbox_leases") // MariaDB wants some right on the database
			err := newOutbox(t, db).Add(t.Context(), begin(t, stranger.DB), outbox.Event{Topic: "t"})
			require.True(t, postroomdb.IsDenied(err), "%v", err)
			require.ErrorContains(t, err, "needs INSERT on outbox_events")
		})
	}
}

func TestStrictKeyOrderOnMariaDBNeedsTheLockTable(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.MariaDB(t))
	writer := dbtest.Restricted(t, db, "INSERT ON outbox_events", "SELECT, UPDATE ON outbox_key_locks")
	add(t, writer, newOutbox(t, db, outbox.StrictKeyOrder()), outbox.Event{Topic: "t", Key: "k"})
	require.Len(t, rowsOf(t, db.DB), 1)
}

// A connection of SQLite's that does not wait fails while another one writes, as the relay
// does many times a second.
func TestAddOnSQLiteSaysWhatLetsAConnectionWait(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.SQLite(t))
	file := "file:" + strings.TrimPrefix(db.URL, "sqlite://")
	addOn := func(parameters string) error {
		other, err := sql.Open("sqlite", file+parameters)
		require.NoError(t, err)
		defer func() { require.NoError(t, other.Close()) }()
		tx := begin(t, other)
		defer func() { _ = tx.Rollback() }() // after Commit it does nothing
		if err := newOutbox(t, db).Add(t.Context(), tx, outbox.Event{Topic: "t"}); err != nil {
			return err
		}
		return tx.Commit()
	}
	relays := begin(t, db.DB) // it has the lock from here on
	require.ErrorContains(t, addOn(""), "PRAGMA busy_timeout = 10000")
	waiting := make(chan error)
	go func() { waiting <- addOn("?_pragma=busy_timeout(10000)") }()
	require.NoError(t, relays.Commit())
	require.NoError(t, <-waiting)
	require.Len(t, rowsOf(t, db.DB), 1)
}
