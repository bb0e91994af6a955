package replica_test

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"math/big"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/replica"
	"github.com/postroom/postroom/internal/dbtest"
)

type (
	status  string
	level   int
	photo   []byte
	broken  struct{ F func() }
	secret  struct{}
	pointed struct{}
)

// Text of its own does not make a number another.
func (level) MarshalText() ([]byte, error) { return []byte("a level"), nil }

func (*pointed) Value() (driver.Value, error) { return "by pointer", nil }

func (secret) MarshalText() ([]byte, error) { return nil, errSecret }

type secretError struct{}

func (secretError) Error() string { return "payload-secret" }

var errSecret = secretError{}

// Each is what the column has, as text; NULL is nil.
func TestAGoValueIsWrittenAsWhatItIs(t *testing.T) {
	t.Parallel()
	db := dbtest.Migrate(t, dbtest.SQLite(t))
	exec(t, db.DB, "CREATE TABLE customers (id bigint PRIMARY KEY, name text)")
	r, err := replica.New(db.Dialect, config())
	require.NoError(t, err)
	text := "text"
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.FixedZone("east", 3600))
	const atUTC = "2026-01-02T02:04:05.000006Z"
	id := uuid.MustParse("018f3c1e-8f2a-7000-8000-000000000001")
	for i, c := range []struct{ value, want any }{
		{status("active"), "active"},
		{level(3), "3"},
		{&text, "text"},
		{photo("bytes"), "bytes"},
		{(*string)(nil), nil},
		{(*time.Time)(nil), nil},
		{(*pointed)(nil), nil},
		{[]byte(nil), nil},
		{map[string]any(nil), nil},
		{json.RawMessage(nil), nil},
		{sql.NullString{}, nil},
		{sql.NullString{String: "x", Valid: true}, "x"},
		{sql.NullInt64{Int64: 9007199254740993, Valid: true}, "9007199254740993"},
		{&sql.NullString{String: "x", Valid: true}, "x"},
		{&pointed{}, "by pointer"},
		{sql.NullTime{Time: at, Valid: true}, atUTC},
		{at, atUTC},
		{&at, atUTC},
		{uint64(18446744073709551615), "18446744073709551615"},
		{int8(-7), "-7"},
		{float32(0.1), "0.1"},
		{json.Number("12345678901234567890.5"), "12345678901234567890.5"},
		{id, id.String()},
		{&id, id.String()},
		{netip.MustParseAddr("10.0.0.1"), "10.0.0.1"},
		{big.NewInt(5), "5"},
		{json.RawMessage(`{"a": 1}`), `{"a": 1}`},
		{map[string]any{"a": json.Number("1.0")}, `{"a":1.0}`},
		{[]string{"a"}, `["a"]`},
		{struct{ A int }{1}, `{"A":1}`},
	} {
		apply(t, db, r, put(int64(i), 1, c.value))
		var got sql.NullString
		var kind string
		require.NoError(t, db.DB.QueryRowContext(t.Context(), "SELECT name, typeof(name) FROM customers WHERE id = ?",
			i).Scan(&got, &kind))
		require.Equal(t, c.want == "bytes", kind == "blob", "%T", c.value)
		require.Equal(t, c.want, map[bool]any{true: got.String}[got.Valid], "%T %v", c.value, c.value)
	}
}

func TestDeclaredColumnsTakeTimesBytesAndJSON(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		columns := map[inbox.Dialect]string{
			inbox.PostgreSQL: "id timestamptz PRIMARY KEY, photo bytea, extra jsonb",
			inbox.MySQL:      "id datetime(6) PRIMARY KEY, photo varbinary(10), extra json",
			inbox.SQLite:     "id TEXT PRIMARY KEY, photo BLOB, extra TEXT",
		}[db.Dialect]
		exec(t, db.DB, "CREATE TABLE things ("+columns+")")
		r, err := replica.New(db.Dialect, replica.Config{Table: "things", Key: []string{"id"},
			Columns: []string{"photo", "extra"},
			Times:   []string{"id"}, Bytes: []string{"photo"}, JSON: []string{"extra"}})
		require.NoError(t, err)
		for i, c := range []struct{ payload, want string }{
			{`{"a": 1.50}`, `{"a": 1.50}`}, {`"text"`, `"text"`}, {`7`, `7`}, {`true`, `true`}, {`[1]`, `[1]`}, {`null`,
				``},
		} {
			exec(t, db.DB, "DELETE FROM things")
			exec(t, db.DB, "DELETE FROM inbox_replica_rows")
			change, err := replica.Decode(nil, []byte(
				`{"version": 1, "id": "2026-03-29T03:30:00.123456+02:00", "photo": "AP8Q", "extra": `+c.payload+`}`))
			require.NoError(t, err)
			apply(t, db, r, change)
			var photo []byte
			var extra sql.NullString
			where := map[inbox.Dialect]string{inbox.PostgreSQL: "'2026-03-29 01:30:00.123456Z'",
				inbox.MySQL: "'2026-03-29 01:30:00.123456'", inbox.SQLite: "'2026-03-29T01:30:00.123456Z'"}[db.Dialect]
			require.NoError(t,
				db.DB.QueryRowContext(t.Context(), "SELECT photo, extra FROM things WHERE id = "+where).Scan(
					&photo, &extra), "%d", i)
			require.Equal(t, []byte{0, 255, 16}, photo)
			require.Equal(t, c.want != "", extra.Valid)
			if extra.Valid {
				require.JSONEq(t, c.want, extra.String)
			}
		}
		row := func(extra any) replica.Change {
			return replica.Change{Version: 2, Values: map[string]any{"id": "2026-03-29T01:30:00.123456Z", "photo": nil,
				"extra": extra}}
		}
		require.Equal(t, replica.Result{Applied: 1}, apply(t, db, r, row(sql.NullString{String: "x", Valid: true})),
			"one time, one key")
		var extra string
		require.NoError(t, db.DB.QueryRowContext(t.Context(), "SELECT extra FROM things").Scan(&extra))
		require.Equal(t, `"x"`, extra)
	})
}

// Logs and parked messages have the error.
func TestAnErrorHasTheColumnAndNotItsValue(t *testing.T) {
	t.Parallel()
	r, err := replica.New("sqlite", replica.Config{Table: "t", Key: []string{"id"},
		Columns: []string{"at", "photo", "name"},
		Times:   []string{"at"}, Bytes: []string{"photo"}})
	require.NoError(t, err)
	for column, values := range map[string][]any{
		"at": {"payload-secret", status("payload-secret")}, "photo": {"payload-secret!"},
		"name": {broken{}, secret{}, map[string]any{"payload-secret": func() {}}},
	} {
		for _, value := range values {
			change := replica.Change{Version: 1, Values: map[string]any{"id": 1, "at": nil, "photo": nil, "name": nil}}
			change.Values[column] = value
			_, err := r.Apply(t.Context(), nil, change)
			require.ErrorIs(t, err, replica.ErrValues)
			require.ErrorContains(t, err, `column "`+column+`"`)
			require.NotContains(t, err.Error(), "payload-secret")
		}
	}
}
