package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAContenderThatEndsByItselfIsAnErrorWithItsWords(t *testing.T) {
	c, err := startChild("relay", "sh", []string{"-c", "echo the broker is away >&2; exit 3"}, nil)
	require.NoError(t, err)
	<-c.exited
	require.ErrorContains(t, c.sleep(t.Context(), stopTimeout), "the broker is away")
	_, err = c.stop()
	require.ErrorContains(t, err, "exit status 3")
}

func TestAContenderDoesNotSeeTheCallersSettings(t *testing.T) {
	t.Setenv("POSTROOM_MODE", "exactly-once")
	c, err := startChild(
		"relay", "sh", []string{"-c", "env; exit 1"}, map[string]string{"POSTROOM_DATABASE_URL": "postgres://db"},
	)
	require.NoError(t, err)
	<-c.exited
	require.NotContains(t, c.said.String(), "POSTROOM_MODE")
	require.Contains(t, c.said.String(), "POSTROOM_DATABASE_URL=postgres://db")
}

func TestATailKeepsTheEnd(t *testing.T) {
	var kept tail
	for range 3 * tailBytes {
		_, err := kept.Write([]byte("x"))
		require.NoError(t, err)
	}
	_, err := kept.Write([]byte("the end"))
	require.NoError(t, err)
	require.LessOrEqual(t, len(kept.String()), 2*tailBytes)
	require.Contains(t, kept.String(), "the end")
}
