package replica_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox/replica"
	"github.com/postroom/postroom/internal/dbtest"
)

// Types of the columns that the same values have in each kind of database.
func comparedTable(d string) string {
	types := map[string][]any{
		"postgresql": {"text COLLATE \"C\"", "bigint", "numeric(40,10)", "timestamptz", "bytea", "jsonb", "boolean",
			"double precision", "uuid"},
		"mysql": {"varbinary(100)", "bigint", "decimal(40,10)", "datetime(6)", "longblob", "json", "tinyint(1)",
			"double", "char(36)"},
		"sqlite": {"TEXT", "INTEGER", "TEXT", "TEXT", "BLOB", "TEXT", "BOOLEAN", "REAL", "TEXT"},
	}[d]
	return fmt.Sprintf("(tenant %s, id %s, amount %s, made_at %s, photo %s, extra %s, vip %s, score %s, ref "+
		"%s, PRIMARY KEY (tenant, id))", types...)
}

// comparedRow inserts a row, as its database writes each value.
func comparedRow(d, table, tenant, id string) string {
	at, bytes := "2026-03-29 01:30:00.123456+00", `'\x00ff10'`
	switch d {
	case "mysql":
		at, bytes = "2026-03-29 01:30:00.123456", "x'00ff10'"
	case "sqlite":
		at, bytes = "2026-03-29T01:30:00.123456Z", "x'00ff10'"
	}
	return fmt.Sprintf(`INSERT INTO %s VALUES ('%s', %s, `+
		`'12345678901234567890.5', '%s', %s, '{"b": [1, 2.50], "a": null}', %s, `+
		`0.1, '018f3c1e-8f2a-7000-8000-000000000001')`,
		table, tenant, id, at, bytes, map[string]string{"postgresql": "true", "mysql": "1", "sqlite": "1"}[d])
}

func comparedNull(table string) string {
	return "INSERT INTO " + table + " (tenant, id) VALUES ('only a key', -1)"
}

func comparison(source, target dbtest.Database) replica.Comparison {
	return replica.Comparison{
		Source: source.DB, SourceDialect: source.Dialect, Query: "SELECT * FROM source_rows",
		Replica: target.DB, ReplicaDialect: target.Dialect, Table: "replica_rows",
		Key: []string{"tenant", "id"}, Wait: time.Millisecond,
	}
}

func TestCompareFindsEachKindOfDifferenceAcrossDatabases(t *testing.T) {
	t.Parallel()
	all := []dbtest.Database{dbtest.PostgreSQL(t), dbtest.MariaDB(t), dbtest.SQLite(t)}
	for _, db := range all {
		for _, table := range []string{"source_rows", "replica_rows"} {
			exec(t, db.DB, "CREATE TABLE "+table+" "+comparedTable(string(db.Dialect)))
		}
		for _, id := range []string{"9007199254740993", "9007199254740992", "3"} {
			exec(t, db.DB, comparedRow(string(db.Dialect), "source_rows", "a", id))
		}
		exec(t, db.DB, comparedNull("source_rows"))
	}
	for _, target := range all {
		for _, source := range all {
			name := string(source.Dialect) + " to " + string(target.Dialect)
			exec(t, target.DB, "DELETE FROM replica_rows")
			for _, id := range []string{"9007199254740993", "9007199254740992", "3"} {
				exec(t, target.DB, comparedRow(string(target.Dialect), "replica_rows", "a", id))
			}
			exec(t, target.DB, comparedNull("replica_rows"))
			done, err := replica.Compare(t.Context(), comparison(source, target))
			require.NoError(t, err, name)
			require.Equal(t, replica.Compared{SourceRows: 4, ReplicaRows: 4}, done, name)

			exec(t, target.DB, "DELETE FROM replica_rows WHERE id = 9007199254740993")
			exec(t, target.DB, comparedRow(string(target.Dialect), "replica_rows", "A", "3"))
			for column, value := range map[string]string{
				"amount": "'12345678901234567890.6'", "made_at": "'2026-03-29 01:30:00.123457'",
				"extra": `'{"b":[1,2.5]}'`, "vip": "NULL", "score": "0.10000000000000002",
				"ref":   "'018f3c1e-8f2a-7000-8000-000000000002'",
				"photo": "NULL",
			} {
				exec(t, target.DB, "UPDATE replica_rows SET "+column+" = "+value+" WHERE tenant = 'a' AND id = 3")
				done, err = replica.Compare(t.Context(), comparison(source, target))
				require.NoError(t, err, name)
				require.False(t, done.Equal())
				require.Equal(t, []replica.Difference{
					{Kind: replica.Extra, Key: []string{"A", "3"}},
					{Kind: replica.Different, Key: []string{"a", "3"}},
					{Kind: replica.Missing, Key: []string{"a", "9007199254740993"}},
				}, done.Differences, "%s: %s", name, column)
				exec(t, target.DB, "DELETE FROM replica_rows WHERE tenant = 'a' AND id = 3")
				exec(t, target.DB, comparedRow(string(target.Dialect), "replica_rows", "a", "3"))
			}
		}
	}
}

func TestCompareLeavesEventsInFlightOut(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t)
	for _, table := range []string{"source_rows", "replica_rows"} {
		exec(t, db.DB, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, name TEXT)")
	}
	exec(t, db.DB, "INSERT INTO source_rows VALUES (1, 'new'), (2, 'newer'), (3, 'stuck')")
	exec(t, db.DB, "INSERT INTO replica_rows VALUES (2, 'old'), (3, 'old')")
	c := comparison(db, db)
	c.Key = []string{"id"}
	looks := 0
	var steps []string
	c.Progress = func(p replica.CompareProgress) {
		steps = append(steps, p.Step)
		if p.Step != "replica again" {
			return
		}
		if looks++; looks == 1 {
			exec(t, db.DB, "INSERT INTO replica_rows VALUES (1, 'new')")              // it came
			exec(t, db.DB, "UPDATE replica_rows SET name = 'between' WHERE id = 2")   // it is coming
			exec(t, db.DB, "UPDATE source_rows SET name = 'goes on' WHERE id = 3")    // it never comes
			exec(t, db.DB, "INSERT INTO source_rows VALUES (4, 'after all looking')") // too new to tell
		}
	}
	done, err := replica.Compare(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, 2, done.InFlight)
	require.Equal(t, []replica.Difference{{Kind: replica.Different, Key: []string{"3"}}}, done.Differences)
	require.Equal(t, []string{"source", "replica", "source again", "replica again", "source again", "replica again"},
		steps)
}

func TestCompareKeepsNoMoreRowsThanItMay(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t)
	for _, table := range []string{"source_rows", "replica_rows"} {
		exec(t, db.DB, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, name TEXT)")
	}
	exec(t, db.DB, "INSERT INTO source_rows WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "+
		"1000) SELECT i, 'x' FROM n")
	c := comparison(db, db)
	c.Key, c.MaxRows = []string{"id"}, 100
	done, err := replica.Compare(t.Context(), c)
	require.NoError(t, err)
	require.Len(t, done.Differences, 100)
	require.Positive(t, done.Left)
	require.False(t, done.Equal())
}

func TestCompareRefusesWhatItCannotCompare(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t)
	exec(t, db.DB, "CREATE TABLE source_rows (id INTEGER, name TEXT)")
	exec(t, db.DB, "CREATE TABLE replica_rows (id INTEGER PRIMARY KEY, name TEXT)")
	exec(t, db.DB, "INSERT INTO source_rows VALUES (1, 'a'), (1, 'b')")
	for name, of := range map[string]struct {
		change func(*replica.Comparison)
		want   string
	}{
		"no key":              {func(c *replica.Comparison) { c.Key = nil }, "its key"},
		"no table":            {func(c *replica.Comparison) { c.Table = "" }, "its key"},
		"a name that is none": {func(c *replica.Comparison) { c.Table = "a; b" }, `name "a; b"`},
		"a schema in SQLite":  {func(c *replica.Comparison) { c.Schema = "s" }, "schemas"},
		"a negative rate":     {func(c *replica.Comparison) { c.RowsPerSecond = -1 }, "negative"},
		"a key not in the query": {func(c *replica.Comparison) { c.Key = []string{"ref"} },
			"must have each column of the key"},
		"a column without a name": {func(c *replica.Comparison) {
			c.Query = "SELECT id, count(*) FROM source_rows GROUP BY id"
		}, "AS …"},
		"a JSON column unknown":  {func(c *replica.Comparison) { c.JSON = []string{"extra"} }, `no column "extra"`},
		"a key that comes twice": {func(*replica.Comparison) {}, "twice"},
	} {
		c := comparison(db, db)
		c.Key = []string{"id"}
		of.change(&c)
		_, err := replica.Compare(t.Context(), c)
		require.ErrorIs(t, err, replica.ErrConfig, name)
		require.ErrorContains(t, err, of.want, name)
	}
}

// MariaDB's JSON is text to its drivers, and another database writes it in another way.
func TestCompareTakesTextForJSONWhenItIsTold(t *testing.T) {
	t.Parallel()
	source, target := dbtest.MariaDB(t), dbtest.SQLite(t)
	exec(t, source.DB, "CREATE TABLE source_rows (id bigint PRIMARY KEY, extra json)")
	exec(t, target.DB, "CREATE TABLE replica_rows (id INTEGER PRIMARY KEY, extra TEXT)")
	exec(t, source.DB, `INSERT INTO source_rows VALUES (1, '{"b": 1.0, "a": 2}'), (2, NULL), (3, '{"a": 1}')`)
	exec(t, target.DB, `INSERT INTO replica_rows VALUES (1, '{"a":2,"b":1}'), (2, NULL), (3, '{"a":"1"}')`)
	c := comparison(source, target)
	c.Key = []string{"id"}
	done, err := replica.Compare(t.Context(), c)
	require.NoError(t, err)
	require.Len(t, done.Differences, 2)
	c.JSON = []string{"extra"}
	done, err = replica.Compare(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, []replica.Difference{{Kind: replica.Different, Key: []string{"3"}}}, done.Differences)
}

func TestCompareKeepsTheDigitsOfSQLitesFloat(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t)
	for _, table := range []string{"source_rows", "replica_rows"} {
		exec(t, db.DB, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY, amount FLOAT)")
	}
	exec(t, db.DB, "INSERT INTO source_rows VALUES (1, 16777217)")
	exec(t, db.DB, "INSERT INTO replica_rows VALUES (1, 16777216)")
	c := comparison(db, db)
	c.Key = []string{"id"}
	done, err := replica.Compare(t.Context(), c)
	require.NoError(t, err)
	require.Len(t, done.Differences, 1)
}

// Not more slowly than it may, which no clock shows, but not faster either.
func TestCompareReadsAtItsRate(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t)
	for _, table := range []string{"source_rows", "replica_rows"} {
		exec(t, db.DB, "CREATE TABLE "+table+" (id INTEGER PRIMARY KEY)")
		exec(t, db.DB,
			"INSERT INTO "+
				table+" WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "+
				"SELECT i FROM n")
	}
	c := comparison(db, db)
	c.Key, c.RowsPerSecond = []string{"id"}, 40_000
	began := time.Now()
	done, err := replica.Compare(t.Context(), c)
	require.NoError(t, err)
	require.True(t, done.Equal())
	require.GreaterOrEqual(t, time.Since(began), 100*time.Millisecond, "2000 rows of each side")
}
