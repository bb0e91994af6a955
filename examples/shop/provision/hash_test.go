package provision_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/provision"
)

func TestNoStatementHasAPassword(t *testing.T) {
	for variable, make := range map[string]func(context.Context, *kit.DB, string, string) ([]string, error){
		"POSTROOM_TEST_POSTGRES_URL": provision.PostgreSQL, "POSTROOM_TEST_MARIADB_URL": provision.MySQL,
	} {
		admin, err := kit.Connect(t.Context(), kittest.Address(t, variable))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, admin.Close()) })
		statements, err := make(t.Context(), admin, "shop_x", "secret")
		require.NoError(t, err)
		require.NotContains(t, strings.Join(statements, ";"), "secret")
	}
}

// The example of MariaDB's documentation of PASSWORD().
func TestMariaDBHash(t *testing.T) {
	require.Equal(t, "*94BDCEBE19083CE2A1F959FD02F964C7AF4CFC29", provision.MariaDBHash("test"))
}
