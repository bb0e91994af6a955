package dbtest

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// MariaDB returns a fresh, empty database on MariaDB.
func MariaDB(t testing.TB) Database {
	t.Helper()
	server := env(t, envMariaDB)
	admin := open(t, server)
	name := freshName(t)
	_, err := admin.DB.ExecContext(t.Context(), "CREATE DATABASE "+name)
	require.NoError(t, err, "the user of the test server must be allowed to create databases")
	atEnd(t, func(ctx context.Context) {
		if err := dropMariaDB(ctx, admin.DB, name); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	fresh := withDatabase(t, server, name)
	target := open(t, fresh)
	return Database{Dialect: target.Dialect, Flavor: FlavorMariaDB, DB: target.DB, URL: fresh}
}

// dropMariaDB ends the connections to the database first: a transaction that a test
// left open would keep DROP DATABASE waiting.
func dropMariaDB(ctx context.Context, admin *sql.DB, name string) error {
	ids, err := connectionsTo(ctx, admin, name)
	if err != nil {
		return err
	}
	for _, id := range ids {
		// One that has ended meanwhile is as good.
		_, _ = admin.ExecContext(ctx, fmt.Sprintf("KILL %d", id))
	}
	_, err = admin.ExecContext(ctx, "DROP DATABASE "+name)
	return err
}

func connectionsTo(ctx context.Context, admin *sql.DB, name string) ([]int64, error) {
	rows, err := admin.QueryContext(ctx, "SELECT id FROM information_schema.processlist WHERE db = ?", name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}
