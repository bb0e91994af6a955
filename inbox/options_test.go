package inbox_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
)

func TestNewRefusesWhatCannotWork(t *testing.T) {
	cases := []struct {
		name     string
		dialect  inbox.Dialect
		consumer string
		opts     []inbox.Option
		want     string
	}{
		{"an unknown dialect", "oracle", "billing", nil, `unknown dialect "oracle"`},
		{"no consumer", inbox.SQLite, "", nil, "no consumer"},
		{"a consumer of 101 bytes", inbox.SQLite, strings.Repeat("c", 101), nil, "consumer of 101 bytes, at most 100"},
		{"a consumer with a NUL", inbox.SQLite, "a\x00", nil, "has a NUL byte"},
		{"a consumer that is not UTF-8", inbox.SQLite, "\xff", nil, "is not UTF-8"},
		{"a prefix with a quote", inbox.SQLite, "billing", []inbox.Option{inbox.WithTablePrefix(`a"`)}, "table prefix"},
		{"a schema outside PostgreSQL", inbox.MySQL, "billing", []inbox.Option{inbox.WithSchema("s")},
			"only PostgreSQL has schemas"},
		{"no attempts", inbox.SQLite, "billing", []inbox.Option{inbox.WithMaxAttempts(0)}, "WithMaxAttempts(0)"},
		{"no backoff", inbox.SQLite, "billing", []inbox.Option{inbox.WithBackoff(0, time.Second)},
			"WithBackoff(0s, 1s)"},
		{"a backoff that shrinks", inbox.SQLite, "billing",
			[]inbox.Option{inbox.WithBackoff(time.Second, time.Millisecond)}, "WithBackoff(1s, 1ms)"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := inbox.New(c.dialect, c.consumer, c.opts...)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "inbox: ")
		})
	}
}

func TestOutcomesHaveNames(t *testing.T) {
	require.Equal(t, "failed", inbox.Failed.String())
	require.Equal(t, "applied", inbox.Applied.String())
	require.Equal(t, "duplicate", inbox.Duplicate.String())
	require.Equal(t, "Outcome(9)", inbox.Outcome(9).String())
	var zero inbox.Outcome
	require.Equal(t, inbox.Failed, zero, "an outcome that nobody set is no success")
}
