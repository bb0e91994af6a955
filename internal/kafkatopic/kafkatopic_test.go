package kafkatopic_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/kafkatopic"
)

func TestValid(t *testing.T) {
	longest := strings.Repeat("x", kafkatopic.MaxLength)
	for _, name := range []string{"a", "Orders.v1_eu-west", "0", "...", longest} {
		require.True(t, kafkatopic.Valid(name), name)
	}
	for _, name := range []string{"", ".", "..", "a b", "a/b", "a:b", "ä", "a\n", longest + "x"} {
		require.False(t, kafkatopic.Valid(name), "%q", name)
	}
	require.Contains(t, kafkatopic.Rule, fmt.Sprint(kafkatopic.MaxLength))
}
