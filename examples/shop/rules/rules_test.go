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

func TestEachRuleHasItsInfo(t *testing.T) {
	t.Parallel()
	for i, info := range rules.Infos() {
		require.Equal(t, rules.All()[i], info.Rule)
		require.NotEmpty(t, info.Protects)
		for _, text := range []string{info.Title, info.Sentence, info.Without, info.Repair} {
			require.NotEmpty(t, text, "%s", info.Rule)
		}
		require.FileExists(t, "../../../"+info.Page)
	}
	require.Len(t, rules.Infos(), len(rules.All()))
}
