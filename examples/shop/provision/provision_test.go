package provision_test

import (
	"crypto/rand"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/provision"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func onEachServer(t *testing.T, fn func(t *testing.T, adminURL, prefix string)) {
	t.Helper()
	for server, variable := range map[string]string{
		"postgresql": "POSTROOM_TEST_POSTGRES_URL", "mariadb": "POSTROOM_TEST_MARIADB_URL",
	} {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			adminURL := kittest.Address(t, variable)
			prefix := "shop" + strings.ToLower(rand.Text()[:8]) + "_"
			t.Cleanup(func() { kittest.DropDatabases(t, adminURL, prefix) })
			fn(t, adminURL, prefix)
		})
	}
}

// Each service logs in, makes its tables, and is refused by every other service's tables.
func TestNoServiceCanOpenAnothersData(t *testing.T) {
	onEachServer(t, func(t *testing.T, adminURL, prefix string) {
		urls, err := provision.Make(t.Context(), adminURL, prefix, provision.Databases()...)
		require.NoError(t, err)
		require.Len(t, urls, 9)
		databases := map[string]*kit.DB{}
		for name, u := range urls {
			databases[name] = kittest.Open(t, u)
			require.NoError(t, databases[name].Exec(t.Context(), "CREATE TABLE secrets (of_service VARCHAR(20))"))
		}
		for name, db := range databases {
			for other := range databases {
				if other == name {
					continue
				}
				// With its own name and password, at the other's database.
				_, err := kit.Connect(t.Context(), at(t, urls[name], prefix+other))
				require.Error(t, err, "%s opened the database of %s", name, other)
				require.Contains(t, []bool{
					strings.Contains(err.Error(), "permission denied for database"), // PostgreSQL
					strings.Contains(err.Error(), "Access denied"),                  // MariaDB
				}, true, err.Error())
				// From its own database, at the other's table. PostgreSQL has no way to name it.
				for _, statement := range []string{
					"SELECT * FROM " + prefix + other + ".secrets",
					"INSERT INTO " + prefix + other + ".secrets VALUES ('x')",
					"DELETE FROM " + prefix + other + ".outbox_events",
				} {
					_, err = db.SQL.ExecContext(t.Context(), statement)
					require.Error(t, err, "%s: %s", name, statement)
				}
			}
		}
	})
}

// In a GRANT of MariaDB an underscore stands for any character.
func TestAnUnderscoreInANameIsNoWildcard(t *testing.T) {
	onEachServer(t, func(t *testing.T, adminURL, prefix string) {
		similar := strings.TrimSuffix(prefix, "_") + "x"
		t.Cleanup(func() { kittest.DropDatabases(t, adminURL, similar) })
		urls, err := provision.Make(t.Context(), adminURL, prefix, "stock")
		require.NoError(t, err)
		_, err = provision.Make(t.Context(), adminURL, similar, "stock")
		require.NoError(t, err)
		_, err = kit.Connect(t.Context(), at(t, urls["stock"], similar+"stock"))
		require.ErrorContains(t, err, "denied")
	})
}

func at(t *testing.T, rawURL, database string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	require.NoError(t, err)
	u.Path = "/" + database
	return u.String()
}

func TestMakingAgainKeepsTheDataAndChangesThePasswords(t *testing.T) {
	onEachServer(t, func(t *testing.T, adminURL, prefix string) {
		first, err := provision.Make(t.Context(), adminURL, prefix, "stock")
		require.NoError(t, err)
		require.NoError(t, kittest.Open(t, first["stock"]).Exec(t.Context(),
			"CREATE TABLE items (sku VARCHAR(20))", "INSERT INTO items VALUES ('pen')"))

		second, err := provision.Make(t.Context(), adminURL, prefix, "stock")
		require.NoError(t, err)
		require.NotEqual(t, first, second)
		var sku string
		require.NoError(t, kittest.Open(t, second["stock"]).SQL.QueryRow("SELECT sku FROM items").Scan(&sku))
		_, err = kit.Connect(t.Context(), first["stock"])
		require.Error(t, err)
		password, _ := mustParse(t, first["stock"]).User.Password()
		require.NotContains(t, err.Error(), password)
	})
}

// An administrator's URL may name the administrator in its query, and pgx lets the query win.
func TestAServiceDoesNotLogInAsTheAdministrator(t *testing.T) {
	adminURL := kittest.Address(t, "POSTROOM_TEST_POSTGRES_URL")
	prefix := "shop" + strings.ToLower(rand.Text()[:8]) + "_"
	t.Cleanup(func() { kittest.DropDatabases(t, adminURL, prefix) })
	u := mustParse(t, adminURL)
	password, _ := u.User.Password()
	query := u.Query()
	query.Set("user", u.User.Username())
	query.Set("password", password)
	u.RawQuery = query.Encode()
	urls, err := provision.Make(t.Context(), u.String(), prefix, "stock")
	require.NoError(t, err)
	var user string
	require.NoError(t, kittest.Open(t, urls["stock"]).SQL.QueryRow("SELECT current_user").Scan(&user))
	require.Equal(t, prefix+"stock", user)
	require.Equal(t, query.Get("sslmode"), mustParse(t, urls["stock"]).Query().Get("sslmode"))
	_, err = kit.Connect(t.Context(), at(t, urls["stock"], "template1"))
	require.ErrorContains(t, err, "permission denied for database")
}

func mustParse(t *testing.T, rawURL string) *url.URL {
	t.Helper()
	u, err := url.Parse(rawURL)
	require.NoError(t, err)
	return u
}

func TestSQLiteHasAFileForEachService(t *testing.T) {
	urls, err := provision.Make(t.Context(), "sqlite:"+t.TempDir()+"/new", "shop_", "stock", "payments")
	require.NoError(t, err)
	require.NotEqual(t, urls["stock"], urls["payments"])
	for _, u := range urls {
		require.NoError(t, kittest.Open(t, u).Exec(t.Context(), "CREATE TABLE t (a INTEGER)"))
	}
}

func TestANameThatIsNoNameIsRefused(t *testing.T) {
	_, err := provision.Make(t.Context(), "postgres://nowhere", "shop_", "stock; DROP DATABASE postgres")
	require.ErrorContains(t, err, "the name may have")
}
