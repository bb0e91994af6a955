package kittest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/provision"
	"github.com/postroom/postroom/outbox"
)

// DropDatabases drops what provision.Make made with prefix.
func DropDatabases(t testing.TB, adminURL, prefix string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	admin, err := kit.Connect(ctx, adminURL)
	require.NoError(t, err)
	defer func() { require.NoError(t, admin.Close()) }()
	for _, name := range append(provision.Databases(), provision.AddedShard) {
		statements := []string{
			"DROP DATABASE IF EXISTS " + prefix + name + " WITH (FORCE)", "DROP ROLE IF EXISTS " + prefix + name,
		}
		if admin.Dialect == outbox.MySQL {
			statements = []string{
				"DROP DATABASE IF EXISTS " + prefix + name, "DROP USER IF EXISTS '" + prefix + name + "'@'%'",
			}
		}
		for _, statement := range statements {
			_, err := admin.SQL.ExecContext(ctx, statement)
			require.NoError(t, err)
		}
	}
}
