package dbtest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// PostgreSQL returns a fresh, empty database on PostgreSQL 15.
func PostgreSQL(t testing.TB) Database {
	t.Helper()
	return postgres(t, FlavorPostgreSQL15, env(t, envPostgreSQL15), "")
}

// PostgreSQL18 returns a fresh, empty database on PostgreSQL 18.
func PostgreSQL18(t testing.TB) Database {
	t.Helper()
	return postgres(t, FlavorPostgreSQL18, env(t, envPostgreSQL18), "")
}

// PgBouncer returns a fresh, empty database on PostgreSQL 15, reached through
// pgbouncer in transaction mode.
func PgBouncer(t testing.TB) Database {
	t.Helper()
	direct := PostgreSQL(t)
	return throughPgBouncer(t, direct)
}

func throughPgBouncer(t testing.TB, direct Database) Database {
	t.Helper()
	var name string
	require.NoError(t, direct.DB.QueryRowContext(t.Context(), "SELECT current_database()").Scan(&name))
	pooled := withDatabase(t, env(t, envPgBouncer), name)
	target := open(t, pooled)
	require.True(t, target.Pooler, "%s must lead to a pooler", envPgBouncer)
	return Database{Dialect: target.Dialect, Flavor: FlavorPgBouncer, DB: target.DB, URL: pooled}
}

// postgres creates a database, as a copy of template unless that is empty.
func postgres(t testing.TB, flavor, server, template string) Database {
	t.Helper()
	admin := open(t, server)
	name := freshName(t)
	create := "CREATE DATABASE " + name
	if template != "" {
		create += " TEMPLATE " + template
	}
	_, err := admin.DB.ExecContext(t.Context(), create)
	require.NoError(t, err, "the user of the test server must be allowed to create databases")
	atEnd(t, func(ctx context.Context) {
		if _, err := admin.DB.ExecContext(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	fresh := withDatabase(t, server, name)
	target := open(t, fresh)
	return Database{Dialect: target.Dialect, Flavor: flavor, DB: target.DB, URL: fresh}
}
