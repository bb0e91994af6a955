package kit_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
)

func TestParametersOfAMariaDBURLAreFollowedOrRejected(t *testing.T) {
	address := kittest.MariaDB(t)
	for _, query := range []string{"", "?tls=false", "?tls=preferred"} {
		db, err := kit.Connect(t.Context(), address+query)
		require.NoError(t, err, query)
		require.NoError(t, db.Close())
	}
	for query, says := range map[string]string{
		"?tls=true":      "connect to", // the test server has no certificate that this machine trusts
		"?tls=on":        "only tls can be set",
		"?charset=ascii": "the parameter charset",
	} {
		_, err := kit.Connect(t.Context(), address+query)
		require.ErrorContains(t, err, says, query)
	}
}
