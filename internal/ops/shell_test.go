package ops_test

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/ops"
)

func TestShellWord(t *testing.T) {
	for _, word := range []string{
		"", "orders", "a b", "it's", "$HOME", "`id`", "a\nb", `back\slash`, "*", "~", "#", "a;b", "ä",
		"key=v@x:9092,y%+/",
	} {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+ops.ShellWord(word)).Output()
		require.NoError(t, err)
		require.Equal(t, word, string(out))
	}
	require.Equal(t, "orders.v1", ops.ShellWord("orders.v1"), "no quotes where none are needed")
	require.Equal(t, "'a b'", ops.ShellWord("a b"))
}
