package blocked

import (
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// A key needs eight bytes, and slices grow with some spare room.
func TestTwoMillionBlockedKeysTakeLessThan32MB(t *testing.T) {
	const keys = 2_000_000
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	b := New(Max)
	key := []byte("customer-")
	prefix := len(key)
	hash := func(i int) uint64 { // it allocates nothing, because the race detector makes millions of allocations slow
		key = strconv.AppendInt(key[:prefix], int64(i), 10)
		return b.Hash("orders", key)
	}
	for i := range keys {
		b.Add(hash(i))
	}
	require.Less(t, heap()-before, int64(32<<20))
	missing, wrong := 0, 0
	for i := range keys {
		if !b.May(hash(i)) {
			missing++
		}
		if b.May(hash(keys + i)) {
			wrong++
		}
	}
	require.Zero(t, missing, "each key that was added is blocked")
	require.Less(t, wrong, 10, "a hash of 64 bits is rarely another key's")
	for i := range keys {
		b.Remove(hash(i))
	}
	require.Zero(t, b.Len())
	runtime.KeepAlive(b)
}

// Whatever is added and removed, the set has a hash as often as there are keys with it. If two keys have one
// hash and one of them is freed, the other stays blocked.
func TestTheSetOfBlockedKeysHoldsEqualHashesOfSeveralKeys(t *testing.T) {
	b := New(Max)
	want := make(map[uint64]int)
	for range 20_000 {
		hash := rand.Uint64N(50) << rand.IntN(60)
		if rand.IntN(2) == 0 {
			b.Add(hash)
			want[hash]++
		} else {
			b.Remove(hash)
			want[hash] = max(0, want[hash]-1)
		}
		require.Equal(t, want[hash] > 0, b.May(hash))
	}
	total := 0
	for hash, n := range want {
		total += n
		require.Equal(t, n > 0, b.May(hash))
	}
	require.Equal(t, total, b.Len())
}

// If there are more keys than the set keeps, every key may be blocked, until the set is cleared.
func TestAFullSetSaysYesToEveryKey(t *testing.T) {
	b := New(2)
	for _, hash := range []uint64{1, 2} {
		b.Add(hash)
	}
	require.False(t, b.Full())
	require.False(t, b.May(3))
	b.Add(3)
	require.True(t, b.Full())
	b.Remove(1)
	require.True(t, b.May(4), "a set that is full forgets nothing")
	b.Clear()
	require.True(t, b.Empty())
	require.False(t, b.May(1))
}
