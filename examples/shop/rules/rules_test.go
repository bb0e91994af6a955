package rules_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/rules"
)

func TestAllRulesAreOnUntilTheyAreSwitchedOff(t *testing.T) {
	t.Parallel()
	var none *rules.Switches
	for _, rule := range rules.All() {
		require.True(t, none.On(rule))
		one, err := rules.Parse(string(rule))
		require.NoError(t, err)
		for _, other := range rules.All() {
			require.Equal(t, other != rule, one.On(other), "%s without %s", other, rule)
		}
		require.NoError(t, one.Set(rule, true))
		require.True(t, one.On(rule))
	}
	_, err := rules.Parse("inbox,gravity")
	require.ErrorContains(t, err, `no rule "gravity"`)
}
