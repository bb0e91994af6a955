package pacing

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAPollIsSoonWhileEventsComeAndLateWhenNoneDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPollInterval(25 * time.Millisecond)
		require.Zero(t, p.After(100, 100))
		require.Equal(t, time.Millisecond, p.After(1, 100))
		var waits []string
		for range 6 {
			waits = append(waits, fmt.Sprint(p.After(0, 100)))
		}
		require.Equal(t, []string{"2ms", "4ms", "8ms", "16ms", "25ms", "25ms"}, waits)
		time.Sleep(quietAfter)
		require.Equal(t, pollQuiet, p.After(0, 100))
		require.Zero(t, p.After(100, 100))
		require.Equal(t, 2*time.Millisecond, p.After(0, 100))
	})
}

func TestTheReadBudgetFollowsTheTimeThatAReadTakes(t *testing.T) {
	b := NewReadBudget(24<<20, 2*time.Second)
	require.EqualValues(t, 24<<20, b.Bytes)
	for _, read := range []struct {
		size int64
		cut  bool
		took time.Duration
		err  error
		want int64
		why  string
	}{
		{24 << 20, true, 10 * time.Millisecond, nil, 24 << 20, "it has a bound"},
		{16 << 20, true, 2 * time.Second, nil, 8 << 20, "half the time, at this speed"},
		{8 << 20, true, 900 * time.Millisecond, nil, 8 << 20, "long enough, and not too long"},
		{1 << 10, false, time.Millisecond, nil, 8 << 20, "there was no more: nothing is known"},
		{8 << 20, true, 100 * time.Millisecond, nil, 16 << 20, "quick and cut: more"},
		{0, false, time.Minute, context.DeadlineExceeded, 4 << 20, "an error: much less"},
	} {
		b.Adapt(read.size, read.cut, read.took, read.err)
		require.Equal(t, read.want, b.Bytes, read.why)
	}
	for range 9 {
		b.Adapt(0, false, time.Minute, context.DeadlineExceeded)
	}
	require.EqualValues(t, minReadBytes, b.Bytes)
	small := NewReadBudget(100, 2*time.Second)
	small.Adapt(0, false, time.Minute, context.DeadlineExceeded)
	require.EqualValues(t, 100, small.Bytes, "most may be less than minReadBytes")
}

func TestABackoffDoublesUpToItsBoundAndStartsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBackoff(100*time.Millisecond, 400*time.Millisecond)
		wait := func(pause time.Duration) {
			began := time.Now()
			require.True(t, b.Wait(t.Context()))
			require.GreaterOrEqual(t, time.Since(began), pause/2)
			require.LessOrEqual(t, time.Since(began), pause)
		}
		for _, pause := range []time.Duration{100, 200, 400, 400} {
			wait(pause * time.Millisecond)
		}
		b.Reset()
		wait(100 * time.Millisecond)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		require.False(t, b.Wait(ended))
	})
}
