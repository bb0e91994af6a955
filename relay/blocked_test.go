package relay

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
)

// blocks checks that a key of topic t is in the session's set, and nothing else is.
func (b *bench) blocks(s *session, keys ...string) {
	b.t.Helper()
	require.True(b.t, s.quarantine.loaded)
	require.Equal(b.t, len(keys), s.keeper.blocked.count)
	for _, key := range keys {
		require.True(b.t, s.keeper.blocked.may(s.keeper.blocked.hash("t", []byte(key))), key)
	}
}

// Eight bytes for a key, and the room that slices grow by.
func TestTwoMillionBlockedKeysTakeLessThan32MB(t *testing.T) {
	const keys = 2_000_000
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	b := newBlockedKeys()
	key := []byte("customer-")
	prefix := len(key)
	hash := func(i int) uint64 { // without an allocation: the race detector makes millions of them slow
		key = strconv.AppendInt(key[:prefix], int64(i), 10)
		return b.hash("orders", key)
	}
	for i := range keys {
		b.add(hash(i))
	}
	require.Less(t, heap()-before, int64(32<<20))
	missing, wrong := 0, 0
	for i := range keys {
		if !b.may(hash(i)) {
			missing++
		}
		if b.may(hash(keys + i)) {
			wrong++
		}
	}
	require.Zero(t, missing, "each key that was added is blocked")
	require.Less(t, wrong, 10, "a hash of 64 bits is rarely another key's")
	for i := range keys {
		b.remove(hash(i))
	}
	require.Zero(t, b.count)
	runtime.KeepAlive(b)
}

// Whatever is added and removed, a hash is there as often as keys have it: the last of
// two keys with one hash stays blocked when the other is freed.
func TestTheSetOfBlockedKeysHoldsEqualHashesOfSeveralKeys(t *testing.T) {
	b := newBlockedKeys()
	want := make(map[uint64]int)
	for range 20_000 {
		hash := rand.Uint64N(50) << rand.IntN(60)
		if rand.IntN(2) == 0 {
			b.add(hash)
			want[hash]++
		} else {
			b.remove(hash)
			want[hash] = max(0, want[hash]-1)
		}
		require.Equal(t, want[hash] > 0, b.may(hash))
	}
	total := 0
	for hash, n := range want {
		total += n
		require.Equal(t, n > 0, b.may(hash))
	}
	require.Equal(t, total, b.count)
}

// looking counts what the relay asks about blocked keys.
type looking struct {
	database
	parts, looks int
	fail         func(part int) error
}

func (l *looking) ScanBlockedKeys(ctx context.Context, after store.BlockedPart,
	visit func(string, []byte)) (store.BlockedPart, bool, error) {
	if l.parts++; l.fail != nil {
		if err := l.fail(l.parts); err != nil {
			return after, false, err
		}
	}
	return l.database.ScanBlockedKeys(ctx, after, visit)
}

func (l *looking) FindBlockedKeys(ctx context.Context, keys []sqldb.EventKey) ([]sqldb.EventKey, error) {
	l.looks += len(keys)
	return l.database.FindBlockedKeys(ctx, keys)
}

// counted makes a session over a store that counts.
func (b *bench) counted() (*session, *looking) {
	l := &looking{}
	b.naive = func(s database) database { l.database = s; return l }
	return b.session(), l
}

// The keys are walked once for a lease, not once for each error of the database or
// outage of the sink: with two million of them that is seconds of work.
func TestTheBlockedKeysAreLoadedOnceWhileTheLeaseLasts(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.park("k")
		s, l := b.counted()
		l.fail = func(part int) error {
			if part == 2 {
				return errors.New("connection reset")
			}
			return nil
		}
		require.Error(t, s.quarantine.load(t.Context()))
		require.NoError(t, s.quarantine.load(t.Context()))
		require.Equal(t, 3, l.parts, "a part that was walked is not walked again")
		b.blocks(s, "k")

		s.readAgain() // after an error
		require.NoError(t, s.quarantine.load(t.Context()))
		s = newSession(s.relay, s.keeper) // after an outage
		require.NoError(t, s.quarantine.load(t.Context()))
		require.Equal(t, 3, l.parts)
		b.blocks(s, "k")
	})
}

// Hazard lagging-standby.
// After a failover to a standby that lags, rows are parked again that were delivered
// since: their keys are not in the set. There the lease is claimed anew. Here k is parked
// behind its back.
func TestTheBlockedKeysAreLoadedAnewUnderAnotherClaim(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		s, l := b.counted()
		require.NoError(t, s.quarantine.load(t.Context()))
		b.park("k")
		s = newSession(s.relay, s.keeper)
		require.NoError(t, s.quarantine.load(t.Context()))
		b.blocks(s)
		s.relay.unsureOwner = s.lease.Owner
		k, err := s.relay.claim(t.Context())
		require.NoError(t, err)
		s = newSession(s.relay, k)
		require.NoError(t, s.quarantine.load(t.Context()))
		b.blocks(s, "k")
		require.Greater(t, l.parts, 1)
	})
}

// park leaves an event of a key of topic t in outbox_parked.
func (b *bench) park(key string) {
	b.t.Helper()
	b.commit(key, key)
	b.exec(`INSERT INTO outbox_parked (id, event_id, topic, event_key, event_type, payload, headers, created_at)
SELECT id, event_id, topic, event_key, event_type, payload, headers, created_at
		FROM outbox_events WHERE event_key = '` + key + `'`)
	b.exec("DELETE FROM outbox_events WHERE event_key = '" + key + "'")
}

// Hazard unblock-race.
// A hash in the set says nothing yet: an innocent key that shares it with a blocked one
// is delivered. And beyond the bound of the set every key is looked up.
func TestOnlyALookIntoTheTableBlocksAKey(t *testing.T) {
	for name, full := range map[string]bool{"a shared hash": false, "more keys than are kept": true} {
		t.Run(name, func(t *testing.T) {
			dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
				b := newBench(t, db)
				b.park("k")
				b.park("j")
				s, l := b.counted()
				s.quarantine.loaded = false
				if full {
					s.keeper.blocked.max = 1
				}
				require.NoError(t, s.quarantine.load(t.Context()))
				require.Equal(t, full, s.keeper.blocked.full())
				if !full {
					s.keeper.blocked.add(s.keeper.blocked.hash("t", []byte("free")))
				}
				records := func(keys ...string) (all []*Record) {
					for _, key := range keys {
						all = append(all, &Record{Topic: "t", Key: []byte(key)})
					}
					return append(all, &Record{Topic: "t"})
				}
				blocked, err := s.quarantine.blockedAmong(t.Context(), records("free", "k", "free", "other", "k"))
				require.NoError(t, err)
				require.Equal(t, map[string]bool{orderKey("t", []byte("k")): true}, blocked)
				require.Equal(t, map[bool]int{false: 2, true: 3}[full], l.looks)
			})
		})
	}
}
