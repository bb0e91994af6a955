package dbtest

import (
	"context"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
)

// Restricted opens db again as a new user that has no rights but those granted, each
// in the form "SELECT, DELETE ON outbox_events". SQLite has no users: asking for one
// fails the test.
func Restricted(t testing.TB, db Database, grants ...string) Database {
	t.Helper()
	require.NotEqual(t, sqldb.SQLite, db.Dialect, "SQLite has no users to restrict")
	// A name of at most 32 characters, MySQL's limit in older versions.
	user := freshName(t)
	account, create, drop := user, "CREATE ROLE "+user+" LOGIN PASSWORD '"+user+"'", "DROP OWNED BY "+user
	if db.Dialect == sqldb.MySQL {
		account = "'" + user + "'@'%'"
		create = "CREATE USER " + account + " IDENTIFIED BY '" + user + "'"
		drop = "REVOKE ALL PRIVILEGES, GRANT OPTION FROM " + account
	}
	exec := func(ctx context.Context, statement string) {
		_, err := db.DB.ExecContext(ctx, statement)
		require.NoError(t, err, statement)
	}
	exec(t.Context(), create)
	atEnd(t, func(ctx context.Context) {
		exec(ctx, drop)
		if db.Dialect == sqldb.MySQL {
			exec(ctx, "DROP USER "+account)
			return
		}
		exec(ctx, "DROP ROLE "+user)
	})
	for _, grant := range grants {
		exec(t.Context(), "GRANT "+grant+" TO "+account)
	}
	u, err := url.Parse(db.URL)
	require.NoError(t, err)
	u.User = url.UserPassword(user, user)
	target := open(t, u.String())
	return Database{Dialect: db.Dialect, Flavor: db.Flavor, DB: target.DB, URL: u.String()}
}
