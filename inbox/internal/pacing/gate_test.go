package pacing

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheGateLetsOneAloneOrManyTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Gate
		began := make(map[string]bool)
		leave := make(map[string]func())
		begin := func(ctx context.Context, name string, alone bool) {
			go func() {
				if out, err := g.Enter(ctx, alone); err == nil {
					began[name], leave[name] = true, out
				}
			}()
			synctest.Wait()
		}
		begin(t.Context(), "a", false)
		begin(t.Context(), "b", false)
		require.True(t, began["a"] && began["b"], "beside one another")

		begin(t.Context(), "suspect", true)
		begin(t.Context(), "c", false)
		leave["a"]()
		synctest.Wait()
		require.False(t, began["suspect"], "one is still inside")
		require.False(t, began["c"], "the suspect was first")
		leave["b"]()
		synctest.Wait()
		require.True(t, began["suspect"])
		require.False(t, began["c"], "alone")
		leave["suspect"]()
		synctest.Wait()
		require.True(t, began["c"])

		ctx, cancel := context.WithCancel(t.Context())
		begin(ctx, "given up", true)
		begin(t.Context(), "d", false)
		require.False(t, began["d"])
		cancel()
		synctest.Wait()
		require.False(t, began["given up"])
		require.True(t, began["d"], "nobody waits before it any more")
	})
}

// A handler that is slow, or never returns, holds up the others of its process for a bounded time: beside the suspect,
// and before it.
func TestTheGateStandsClosedForABoundedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Gate
		enter := func(alone bool) (leave func(), waited time.Duration) {
			begun := time.Now()
			leave, err := g.Enter(t.Context(), alone)
			require.NoError(t, err)
			return leave, time.Since(begun)
		}
		slow, _ := enter(false)
		suspect, waited := enter(true)
		require.Equal(t, aloneFor, waited, "for one that does not end")
		other, waited := enter(false)
		require.Equal(t, aloneFor, waited, "for the suspect, which does not end either")
		slow()
		other()

		second, waited := enter(true)
		require.Equal(t, aloneFor, waited)
		suspect() // its own time has passed, and not the second's
		time.AfterFunc(aloneFor/2, second)
		other, waited = enter(false)
		require.Equal(t, aloneFor/2, waited, "until the second leaves")
		other()
	})
}

// What the gate costs a transaction, with as many goroutines at it as there are processors.
func BenchmarkGate(b *testing.B) {
	var g Gate
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			leave, err := g.Enter(b.Context(), false)
			if err != nil {
				b.Error(err)
				return
			}
			leave()
		}
	})
}
