package steady_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/steady"
)

func TestCallsAreMadeWhenTheyAreDueAndLateOnesCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, at := time.Now(), []time.Duration{}
		err := steady.Load{First: time.Second, Every: 2 * time.Second, Limit: 6}.Run(t.Context(), func(n int) error {
			at = append(at, time.Since(start))
			if n == 1 {
				time.Sleep(5 * time.Second)
			}
			return nil
		})
		require.NoError(t, err)
		s := time.Second
		require.Equal(t, []time.Duration{1 * s, 3 * s, 8 * s, 8 * s, 9 * s, 11 * s}, at)
	})
}

func TestTheEndOfTheContextEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		calls := 0
		require.NoError(t, steady.Load{Every: 2 * time.Second}.Run(ctx, func(int) error { calls++; return nil }))
		require.Equal(t, 3, calls)
		require.NoError(t, steady.Load{}.Run(ctx, func(int) error { calls++; return nil }))
		require.Equal(t, 3, calls, "it had ended before")
	})
}

func TestAnErrorEndsIt(t *testing.T) {
	failed := errors.New("failed")
	calls := 0
	require.ErrorIs(t, steady.Load{}.Run(t.Context(), func(int) error { calls++; return failed }), failed)
	require.Equal(t, 1, calls)
}
