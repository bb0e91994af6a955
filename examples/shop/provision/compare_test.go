package provision_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/provision"
)

// Two texts are equal in all databases of the shop, or in none. Otherwise two orders could be one on MariaDB.
func TestTextsAreComparedByTheirBytes(t *testing.T) {
	onEachServer(t, func(t *testing.T, adminURL, prefix string) {
		urls, err := provision.Make(t.Context(), adminURL, prefix, "stock")
		require.NoError(t, err)
		require.NoError(t, kittest.Open(t, urls["stock"]).Exec(t.Context(),
			"CREATE TABLE texts (a VARCHAR(20) NOT NULL PRIMARY KEY)",
			"INSERT INTO texts VALUES ('pen'), ('pen '), ('Pen'), ('pén')"))
	})
}
