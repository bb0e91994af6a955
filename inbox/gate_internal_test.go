package inbox

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestTheGateLetsOneAloneOrManyTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		began := make(map[string]bool)
		begin := func(ctx context.Context, name string, alone bool) {
			go func() {
				if g.enter(ctx, alone) == nil {
					began[name] = true
				}
			}()
			synctest.Wait()
		}
		begin(t.Context(), "a", false)
		begin(t.Context(), "b", false)
		require.True(t, began["a"] && began["b"], "beside one another")

		begin(t.Context(), "suspect", true)
		begin(t.Context(), "c", false)
		g.leave()
		synctest.Wait()
		require.False(t, began["suspect"], "one is still inside")
		require.False(t, began["c"], "the suspect was first")
		g.leave()
		synctest.Wait()
		require.True(t, began["suspect"])
		require.False(t, began["c"], "alone")
		g.leave()
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

// What the gate costs a transaction, with as many goroutines at it as there are processors.
func BenchmarkGate(b *testing.B) {
	var g gate
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := g.enter(b.Context(), false); err != nil {
				b.Error(err)
				return
			}
			g.leave()
		}
	})
}
