//go:build unix

package main

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/rigs/chaos"
)

func TestTheMinimumsGrowWithTheDuration(t *testing.T) {
	o, err := parse([]string{"--duration", "20m", "--min-pauses", "7"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, 800, o.MinKills)
	require.Equal(t, 7, o.MinPauses)
	require.Equal(t, 800_000, o.MinEvents)
	require.NotZero(t, o.Seed, "a seed that is not given is drawn")
}

func TestThereIsARunForEachDatabaseAndMode(t *testing.T) {
	o, err := parse(
		[]string{"--database", "postgres,mariadb", "--mode", "at-least-once,exactly-once", "--seed", "5"}, io.Discard,
	)
	require.NoError(t, err)
	var found []string
	for _, s := range o.runs("/root") {
		require.Equal(t, uint64(5), s.Seed)
		require.Equal(t, time.Minute, s.Duration)
		found = append(found, s.Database+" "+string(s.Mode))
	}
	require.Equal(
		t,
		[]string{"postgres at-least-once", "postgres exactly-once", "mariadb at-least-once", "mariadb exactly-once"},
		found,
	)
}

func TestWrongSettingsAreNamedBeforeAnythingStarts(t *testing.T) {
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"--database", "oracle"}, `database "oracle"`},
		{[]string{"--mode", "at-most-once"}, `mode "at-most-once"`},
		{[]string{"--relays", "0"}, "relays 0"},
		{[]string{"--broker", "activemq"}, `broker "activemq"`},
		{[]string{"--broker", "rabbitmq", "--mode", "exactly-once"}, "with rabbitmq only at-least-once"},
		{[]string{"--lease-ttl", "1ms"}, "lease-ttl 1ms"},
		{[]string{"postgres"}, `unknown argument "postgres"`},
		{[]string{"--fast"}, "-fast"},
	} {
		code, err := run(t.Context(), test.args, io.Discard, io.Discard)
		require.ErrorContains(t, err, test.says)
		require.Equal(t, exitUsage, code, "%v", test.args)
	}
}

func TestTheExitCodeTellsABrokenPropertyFromARunThatDidTooLittle(t *testing.T) {
	require.Equal(t, exitFailed, codeOf(&chaos.Report{Problems: []string{"3 kills"}}))
	require.Equal(t, exitFailed, codeOf(&chaos.Report{}), "nothing was judged")
}
