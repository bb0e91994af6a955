package replica_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/replica"
	"github.com/postroom/postroom/internal/dbtest"
)

func tryApply(t *testing.T, db dbtest.Database, r *replica.Replica, changes ...replica.Change) error {
	t.Helper()
	tx, err := db.DB.BeginTx(t.Context(), &sql.TxOptions{})
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	if _, err := r.Apply(t.Context(), tx, changes...); err != nil {
		return err
	}
	return tx.Commit()
}

// ON DUPLICATE KEY UPDATE fires on every unique index: a row with another's name would be
// written over that one. And without one on the key every version would add a row.
func TestOnMySQLTheTableHasTheKeysUniqueIndexAndNoOther(t *testing.T) {
	t.Parallel()
	db := dbtest.Migrate(t, dbtest.MariaDB(t))
	c := replica.Config{Table: "lines", Key: []string{"o", "l"}, Columns: []string{"name"}}
	change := replica.Change{Version: 1, Values: map[string]any{"o": "a", "l": 1, "name": "x"}}
	for name, table := range map[string]struct{ columns, want string }{
		"its own":          {"UNIQUE (l, o)", ""},
		"two of the key":   {"PRIMARY KEY (o, l), UNIQUE (l, o), KEY (name)", ""},
		"none":             {"KEY (o, l)", "ADD PRIMARY KEY (o, l)"},
		"of another":       {"PRIMARY KEY (o, l), UNIQUE spare (name)", "DROP INDEX `spare`"},
		"of a part":        {"PRIMARY KEY (o, l), UNIQUE spare (o)", "DROP INDEX `spare`"},
		"of more":          {"UNIQUE spare (o, l, name)", "DROP INDEX `spare`"},
		"of the beginning": {"UNIQUE spare (o(3), l)", "DROP INDEX `spare`"},
	} {
		exec(t, db.DB, "CREATE TABLE `lines` (o varbinary(100), l bigint, name varchar(100), "+table.columns+")")
		r, err := replica.New(db.Dialect, c)
		require.NoError(t, err)
		err = tryApply(t, db, r, change)
		if table.want == "" {
			require.NoError(t, err, name)
		} else {
			require.ErrorIs(t, err, replica.ErrConfig, name)
			require.ErrorContains(t, err, table.want)
		}
		exec(t, db.DB, "DROP TABLE `lines`")
		exec(t, db.DB, "DELETE FROM inbox_replica_rows")
	}
}

// A table that was wrong is looked at again, one that was right is not.
func TestTheTableIsLookedAtUntilItIsRight(t *testing.T) {
	t.Parallel()
	db := dbtest.Migrate(t, dbtest.MariaDB(t))
	r, err := replica.New(db.Dialect, config())
	require.NoError(t, err)
	require.ErrorContains(t, tryApply(t, db, r, put(1, 1, "a")), "create the replica's own table")
	exec(t, db.DB, "CREATE TABLE customers (id bigint PRIMARY KEY, name varchar(100), UNIQUE spare (name))")
	for range 2 {
		require.ErrorIs(t, tryApply(t, db, r, put(1, 1, "a")), replica.ErrConfig)
	}
	exec(t, db.DB, "ALTER TABLE customers DROP INDEX spare")
	var writers sync.WaitGroup
	for i := range int64(4) {
		writers.Go(func() { apply(t, db, r, put(i, 1, "a")) })
	}
	writers.Wait()
	require.Len(t, rows(t, db), 4)
	exec(t, db.DB, "ALTER TABLE customers ADD UNIQUE spare (id, name)")
	require.NoError(t, tryApply(t, db, r, put(9, 1, "a")))
}

// The gate tells keys apart by their bytes.
func TestOnMySQLKeysAreToldApartByTheirBytes(t *testing.T) {
	t.Parallel()
	db := dbtest.Migrate(t, dbtest.MariaDB(t))
	for column, want := range map[string]struct {
		refused string // why; empty: it is not
		pads    bool
	}{
		"varchar(20) COLLATE utf8mb4_bin":       {pads: true},
		"varchar(20) COLLATE utf8mb4_nopad_bin": {},
		"char(20) COLLATE utf8mb4_nopad_bin":    {pads: true},
		"varbinary(20)":                         {},
		"varchar(20) COLLATE utf8mb4_general_ci": {refused: "MODIFY id varchar(20) CHARACTER SET utf8mb4 COLLATE " +
			"utf8mb4_bin NOT NULL"},
	} {
		exec(t, db.DB, "CREATE TABLE customers (id "+column+" NOT NULL PRIMARY KEY, name varchar(100))")
		r, err := replica.New(db.Dialect, config())
		require.NoError(t, err)
		row := func(id string) replica.Change {
			return replica.Change{Version: 1, Values: map[string]any{"id": id, "name": "x"}}
		}
		err = tryApply(t, db, r, row("a"), row("A"))
		if want.refused != "" {
			require.ErrorIs(t, err, replica.ErrConfig, column)
			require.ErrorContains(t, err, want.refused)
		} else {
			require.NoError(t, err, column)
			if err = tryApply(t, db, r, row("a ")); want.pads {
				require.ErrorIs(t, err, replica.ErrValues, column)
			} else {
				require.NoError(t, err, column)
			}
			var n int
			require.NoError(t, db.DB.QueryRowContext(t.Context(), "SELECT count(*) FROM customers").Scan(&n))
			require.Equal(t, map[bool]int{true: 2, false: 3}[want.pads], n, column)
		}
		exec(t, db.DB, "DROP TABLE customers")
		exec(t, db.DB, "DELETE FROM inbox_replica_rows")
	}
}

// The batch frees the value before another row takes it.
func TestDeletionsComeFirst(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		if db.Dialect == inbox.MySQL {
			t.Skip("refused there")
		}
		exec(t, db.DB, "CREATE TABLE customers (id bigint PRIMARY KEY, name varchar(100) UNIQUE)")
		r, err := replica.New(db.Dialect, config())
		require.NoError(t, err)
		apply(t, db, r, put(1, 1, "x"))
		apply(t, db, r, gone(1, 2), put(2, 1, "x"))
		require.Equal(t, map[int64]string{2: "x"}, rows(t, db))
	})
}

func TestAKeyOfSeveralColumns(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		exec(t, db.DB, "CREATE TABLE order_lines (o varchar(100) "+
			""+map[bool]string{true: "COLLATE utf8mb4_bin"}[db.Dialect == inbox.MySQL]+" NOT NULL, l bigint, name "+
			"varchar(100), PRIMARY KEY (o, l))")
		r, err := replica.New(db.Dialect, replica.Config{Table: "order_lines", Key: []string{"o", "l"},
			Columns: []string{"name"}})
		require.NoError(t, err)
		const big = 9007199254740992 // beside it no float64 has an odd number
		line := func(o string, l any) replica.Change {
			return replica.Change{Version: 1, Values: map[string]any{"o": o, "l": l, "name": "x"}}
		}
		of := func(c replica.Change) replica.Change { c.RunID = newer; return c }
		deleted := func(c replica.Change) replica.Change { c.Version, c.Deleted = 2, true; return c }
		var puts, deletions []replica.Change
		for i := range 1500 {
			puts = append(puts, line("a,\"b", i))
			deletions = append(deletions, deleted(line("a,\"b", i)))
		}
		left := func() (all []string) {
			found, err := db.DB.QueryContext(t.Context(), "SELECT o, l FROM order_lines ORDER BY o, l")
			require.NoError(t, err)
			defer func() { _ = found.Close() }()
			for found.Next() {
				var o, l string
				require.NoError(t, found.Scan(&o, &l))
				all = append(all, o+" "+l)
			}
			require.NoError(t, found.Err())
			return all
		}
		require.Equal(t, replica.Result{Applied: 1500}, apply(t, db, r, puts...))
		require.Equal(t, replica.Result{Applied: 1, Deleted: 1500},
			apply(t, db, r, append(deletions, line("kept", json.Number("-0")))...))
		require.Equal(t, []string{"kept 0"}, left())
		require.Equal(t, replica.Result{Stale: 1}, apply(t, db, r, line("kept", 0)), "one key")

		// Tidy has the keys as text.
		var lost []replica.Change
		for i := range 1200 {
			lost = append(lost, line("lost", i))
		}
		apply(t, db, r, append(lost, line("big", big+1), line(`[1,"]`, 1))...)
		apply(t, db, r, of(line("kept", 0)), of(line("big", big)), of(line(`[1,"]`, 2)), end(newer, 3, soon()))
		require.Equal(t, int64(1202), tidy(t, db, r, replica.TidyOptions{}).Removed)
		require.Equal(t, []string{`[1,"] 2`, fmt.Sprint("big ", big), "kept 0"}, left())
	})
}

func TestTheLongestKey(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		exec(t, db.DB, "CREATE TABLE customers (id varchar(600) "+
			""+map[bool]string{true: "COLLATE utf8mb4_bin"}[db.Dialect == inbox.MySQL]+" PRIMARY KEY, "+
			"name varchar(100))")
		r, err := replica.New(db.Dialect, config())
		require.NoError(t, err)
		key := strings.Repeat("é", 250)
		apply(t, db, r, replica.Change{Version: 1, Values: map[string]any{"id": key, "name": "x"}})
		apply(t, db, r, end(newer, 0, time.Now().Add(time.Hour)))
		require.Equal(t, int64(1), tidy(t, db, r, replica.TidyOptions{}).Removed)
	})
}

// Two tables of one name would share versions.
func TestAReplicaInASchemaHasItsName(t *testing.T) {
	t.Parallel()
	db := dbtest.Migrate(t, dbtest.PostgreSQL(t))
	for _, schema := range []string{"a", "b"} {
		exec(t, db.DB, "CREATE SCHEMA "+schema)
		exec(t, db.DB, "CREATE TABLE "+schema+".customers (id bigint PRIMARY KEY, name text)")
		c := config()
		c.Schema = schema
		r, err := replica.New(db.Dialect, c)
		require.NoError(t, err)
		require.Equal(t, replica.Result{Applied: 1}, apply(t, db, r, put(1, 1, "x")))
	}
	var names string
	require.NoError(t, db.DB.QueryRowContext(t.Context(),
		"SELECT string_agg(replica, ' ' ORDER BY replica) FROM inbox_replica_rows").Scan(&names))
	require.Equal(t, "a.customers b.customers", names)
}
