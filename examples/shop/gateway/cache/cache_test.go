package cache_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/examples/shop/gateway/cache"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testRedis is a Redis, with a prefix that no other test has.
type testRedis struct {
	client *redis.Client
	prefix string
}

func (r testRedis) cache(t *testing.T, cfg cache.Config) *cache.Cache {
	t.Helper()
	cfg.Redis, cfg.Prefix = r.client, r.prefix
	c, err := cache.New(cfg)
	require.NoError(t, err)
	return c
}

func connect(t *testing.T, address string) testRedis {
	t.Helper()
	client := cache.Connect(address)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return testRedis{client, rand.Text()[:8] + ":"}
}

func eachRedis(t *testing.T, fn func(t *testing.T, r testRedis)) {
	t.Helper()
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		fn(t, connect(t, miniredis.RunT(t).Addr()))
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		fn(t, connect(t, kittest.Address(t, "POSTROOM_TEST_REDIS_ADDR")))
	})
}

func of(version int64) cache.Value {
	return cache.Value{Body: []byte{byte('0' + version)}, Versions: cache.Versions{"order:1": version}}
}

// get reads order:1 where the source has a version, and returns the version that came, and whether it was from Redis.
func get(t *testing.T, c *cache.Cache, inSource int64) (version int64, hit bool) {
	t.Helper()
	hit = true
	v, err := c.Get(t.Context(), "order:1", func(context.Context) (cache.Value, error) {
		hit = false
		return of(inSource), nil
	})
	require.NoError(t, err)
	require.Equal(t, of(v.Versions["order:1"]), v)
	return v.Versions["order:1"], hit
}

func requireGet(t *testing.T, c *cache.Cache, inSource, want int64, wantHit bool) {
	t.Helper()
	version, hit := get(t, c, inSource)
	require.Equal(t, want, version)
	require.Equal(t, wantHit, hit, "from Redis")
}

func TestALateEventChangesNothing(t *testing.T) {
	eachRedis(t, func(t *testing.T, r testRedis) {
		c := r.cache(t, cache.Config{Settle: -1})
		requireGet(t, c, 3, 3, false)
		for _, late := range []int64{3, 2} {
			require.NoError(t, c.Raise(t.Context(), cache.Versions{"order:1": late}))
			requireGet(t, c, 9, 3, true)
		}
		require.NoError(t, c.Raise(t.Context(), cache.Versions{"order:1": 4}))
		requireGet(t, c, 4, 4, false)
		requireGet(t, c, 9, 4, true)
	})
}

func TestASourceThatIsBehindIsNotStored(t *testing.T) {
	eachRedis(t, func(t *testing.T, r testRedis) {
		c := r.cache(t, cache.Config{Settle: -1})
		require.NoError(t, c.Raise(t.Context(), cache.Versions{"order:1": 10})) // not by the order of letters
		requireGet(t, c, 9, 9, false)
		requireGet(t, c, 10, 10, false)
		requireGet(t, c, 11, 10, true)
		require.EqualValues(t, 1, c.Counts().Refused)
	})
}

func TestTwoGatewaysShareValuesAndFloors(t *testing.T) {
	eachRedis(t, func(t *testing.T, r testRedis) {
		a, b := r.cache(t, cache.Config{Settle: -1}), r.cache(t, cache.Config{Settle: -1})
		requireGet(t, a, 1, 1, false)
		requireGet(t, b, 9, 1, true)
		require.NoError(t, a.Raise(t.Context(), cache.Versions{"order:1": 2}))
		requireGet(t, b, 2, 2, false)
	})
}

func TestAFillThatOutlivesItsFloorIsNotStored(t *testing.T) {
	server := miniredis.RunT(t)
	r, now := connect(t, server.Addr()), time.Now()
	server.SetTime(now)
	c := r.cache(t, cache.Config{Settle: -1, TTL: time.Second, FillLimit: time.Second, FloorTTL: time.Minute})
	_, err := c.Get(t.Context(), "order:1", func(ctx context.Context) (cache.Value, error) {
		require.NoError(t, c.Raise(ctx, cache.Versions{"order:1": 2}))
		server.SetTime(now.Add(2 * time.Minute))
		server.FastForward(2 * time.Minute)
		require.False(t, server.Exists(r.prefix+"floor:order:1"))
		return of(1), nil
	})
	require.NoError(t, err)
	requireGet(t, c, 2, 2, false)
}

func TestAFloorOutlivesTheValuesBelowIt(t *testing.T) {
	server := miniredis.RunT(t)
	r := connect(t, server.Addr())
	c := r.cache(t, cache.Config{Settle: -1, TTL: time.Minute, FillLimit: time.Second, FloorTTL: time.Hour})
	requireGet(t, c, 1, 1, false)
	require.NoError(t, c.Raise(t.Context(), cache.Versions{"order:1": 2}))
	server.FastForward(time.Minute)
	require.False(t, server.Exists(r.prefix+"value:order:1"))
	require.True(t, server.Exists(r.prefix+"floor:order:1"))
	_, err := cache.New(cache.Config{TTL: time.Hour, FloorTTL: time.Hour})
	require.ErrorContains(t, err, "FloorTTL")
}

func TestAnEmptiedRedisBringsNothingOldBack(t *testing.T) {
	server := miniredis.RunT(t)
	r, now := connect(t, server.Addr()), time.Now()
	server.SetTime(now)
	c := r.cache(t, cache.Config{Settle: 10 * time.Second})
	requireGet(t, c, 1, 1, false) // makes the first generation
	now = now.Add(10 * time.Second)
	server.SetTime(now)

	// The floor is lost while a reader is under way.
	_, err := c.Get(t.Context(), "order:1", func(ctx context.Context) (cache.Value, error) {
		require.NoError(t, c.Raise(ctx, cache.Versions{"order:1": 2}))
		server.FlushAll()
		return of(1), nil
	})
	require.NoError(t, err)
	requireGet(t, c, 2, 2, false)

	// The floor of a transaction is lost before the commit: the source has the old version, and no floor is above it.
	server.FlushAll()
	requireGet(t, c, 1, 1, false)
	requireGet(t, c, 2, 2, false) // committed; not stored either, because this Redis is young
	now = now.Add(10 * time.Second)
	server.SetTime(now)
	requireGet(t, c, 2, 2, false)
	requireGet(t, c, 9, 2, true)
}

// A Redis that is full evicts the floor, and would give the old value away.
func TestARedisThatEvictsKeysIsNotUsed(t *testing.T) {
	info := func(limit, policy string) string {
		return "# Memory\r\nused_memory:1000\r\nmaxmemory:" + limit + "\r\nmaxmemory_policy:" + policy + "\r\n"
	}
	for name, tc := range map[string]struct {
		info string
		used bool
	}{
		"all keys may go":         {info("1048576", "allkeys-lru"), false},
		"floors have a TTL":       {info("1048576", "volatile-ttl"), false},
		"a full Redis says no":    {info("1048576", "noeviction"), true},
		"there is no limit":       {info("0", "allkeys-lru"), true},
		"a server that is silent": {"# Clients\r\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			redis := miniredis.RunT(t)
			redis.Server().SetPreHook(func(c *server.Peer, command string, _ ...string) bool {
				if command == "INFO" {
					c.WriteBulk(tc.info)
				}
				return command == "INFO"
			})
			c := connect(t, redis.Addr()).cache(t, cache.Config{Settle: -1})
			requireGet(t, c, 1, 1, false)
			version, hit := get(t, c, 2)
			require.Equal(t, tc.used, hit)
			err := c.Raise(t.Context(), cache.Versions{"order:1": 3})
			if tc.used {
				require.NoError(t, err)
				require.EqualValues(t, 1, version)
				return
			}
			require.EqualValues(t, 2, version)
			require.ErrorContains(t, err, "set maxmemory-policy to noeviction")
		})
	}
}

func TestWithoutRedisTheSourceAnswers(t *testing.T) {
	server := miniredis.RunT(t)
	c := connect(t, server.Addr()).cache(t, cache.Config{Settle: -1})
	requireGet(t, c, 1, 1, false)
	requireGet(t, c, 9, 1, true)
	server.Close()
	requireGet(t, c, 2, 2, false)
	requireGet(t, c, 3, 3, false)
	require.Positive(t, c.Counts().Away, "each request asks a Redis that has just failed")
	require.Error(t, c.Raise(t.Context(), cache.Versions{"order:1": 4}), "the caller must not commit")
}

func TestManyMissesAreOneLoad(t *testing.T) {
	eachRedis(t, func(t *testing.T, r testRedis) {
		c := r.cache(t, cache.Config{Settle: -1})
		loads, release := make(chan struct{}, 100), make(chan struct{})
		var readers sync.WaitGroup
		for range 20 {
			readers.Go(func() {
				v, err := c.Get(t.Context(), "order:1", func(context.Context) (cache.Value, error) {
					loads <- struct{}{}
					<-release
					return of(1), nil
				})
				require.NoError(t, err)
				require.Equal(t, of(1), v)
			})
		}
		<-loads
		close(release)
		readers.Wait()
		require.Empty(t, loads)
	})
}

func TestACallerDoesNotGetALoadThatIsOlderThanItsQuestion(t *testing.T) {
	eachRedis(t, func(t *testing.T, r testRedis) {
		c := r.cache(t, cache.Config{Settle: -1})
		reading, release := make(chan struct{}), make(chan struct{})
		var first sync.WaitGroup
		first.Go(func() {
			_, err := c.Get(t.Context(), "order:1", func(context.Context) (cache.Value, error) {
				close(reading)
				<-release
				return of(1), nil
			})
			require.NoError(t, err)
		})
		<-reading
		require.NoError(t, c.Raise(t.Context(), cache.Versions{"order:1": 2})) // delivered
		var second sync.WaitGroup
		asked := make(chan struct{})
		second.Go(func() {
			close(asked)
			// It joins the first load, or comes after it. It must get version 2 in both cases.
			version, _ := get(t, c, 2)
			require.EqualValues(t, 2, version)
		})
		<-asked
		close(release)
		first.Wait()
		second.Wait()
	})
}

func TestACallerThatGoesAwayDoesNotEndTheLoadOfOthers(t *testing.T) {
	c := connect(t, miniredis.RunT(t).Addr()).cache(t, cache.Config{Settle: -1})
	ctx, cancel := context.WithCancel(t.Context())
	release, loaded := make(chan struct{}), make(chan error)
	load := func(ctx context.Context) (cache.Value, error) {
		cancel()
		<-release
		loaded <- ctx.Err()
		return of(1), nil
	}
	_, err := c.Get(ctx, "order:1", load)
	require.ErrorIs(t, err, context.Canceled)
	close(release)
	require.NoError(t, <-loaded)
}

func TestAnErrorOfTheSourceIsReturnedAndNotStored(t *testing.T) {
	c := connect(t, miniredis.RunT(t).Addr()).cache(t, cache.Config{Settle: -1})
	gone := errors.New("gone")
	_, err := c.Get(t.Context(), "order:1", func(context.Context) (cache.Value, error) { return cache.Value{}, gone })
	require.ErrorIs(t, err, gone)
	requireGet(t, c, 1, 1, false)
}
