package kit_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/kit"
)

func TestTextsFromOutsideAreWhatTheyClaimToBe(t *testing.T) {
	t.Parallel()
	for _, sku := range []string{"pen", "Pen-2.b_3", strings.Repeat("x", 64)} {
		require.True(t, kit.ValidSKU(sku), sku)
	}
	for _, sku := range []string{"", "pen ", "a\x00b", "a\nb", "pen\n", "é", "\xff", "a/b", strings.Repeat("x", 65)} {
		require.False(t, kit.ValidSKU(sku), "%q", sku)
	}
	const id = "8f2a3f0e-6a4b-4d5e-9a51-3c1f0b6a7d21"
	require.True(t, kit.ValidID(id))
	for _, other := range []string{
		"", "ada", id + "\x00", strings.ToUpper(id), "urn:uuid:" + id, "{" + id + "}", strings.ReplaceAll(id, "-", ""),
	} {
		require.False(t, kit.ValidID(other), "%q", other)
	}
}
