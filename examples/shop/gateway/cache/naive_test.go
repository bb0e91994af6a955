package cache_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/gateway/cache"
)

// naive is the cache that most of us write first: a write deletes the values that it is in, and a miss fills them in
// again.
type naive struct{ redis testRedis }

// keysWith are the keys whose values have the entity in them: the answer about an order also has its customer.
func (n naive) keysWith(entity string) []string {
	keys := []string{n.redis.prefix + entity}
	if customer, is := strings.CutPrefix(entity, "customer:"); is {
		keys = append(keys, n.redis.prefix+"order:"+customer)
	}
	return keys
}

func (n naive) Get(
	ctx context.Context, key string, load func(context.Context) (cache.Value, error),
) (cache.Value, error) {
	var value cache.Value
	if text, err := n.redis.client.Get(ctx, n.redis.prefix+key).Bytes(); err == nil {
		return value, json.Unmarshal(text, &value)
	}
	value, err := load(ctx)
	if err != nil {
		return value, err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return value, err
	}
	return value, n.redis.client.Set(ctx, n.redis.prefix+key, text, 0).Err()
}

func (n naive) deliver(ctx context.Context, entity string, _ int64, commit func()) error {
	commit()
	return n.redis.client.Del(ctx, n.keysWith(entity)...).Err()
}

// alternating is naive without its fault: no write comes between a read of the source and its refill. That needs one
// lock for all gateways, and so no program has it.
type alternating struct {
	naive
	turn *sync.RWMutex
}

func (a alternating) Get(
	ctx context.Context, key string, load func(context.Context) (cache.Value, error),
) (cache.Value, error) {
	a.turn.RLock()
	defer a.turn.RUnlock()
	return a.naive.Get(ctx, key, load)
}

func (a alternating) deliver(ctx context.Context, entity string, version int64, commit func()) error {
	a.turn.Lock()
	defer a.turn.Unlock()
	return a.naive.deliver(ctx, entity, version, commit)
}

// refillAcrossAWrite is the interleaving: a reader reads the source, a write is delivered, the reader stores what it
// has read. It returns what the next reader finds.
func refillAcrossAWrite(t *testing.T, through readThrough) error {
	t.Helper()
	s := newSource()
	require.NoError(t, s.deliver(t.Context(), through, "order:1"))
	_, err := through.Get(t.Context(), "order:1", func(ctx context.Context) (cache.Value, error) {
		v, err := s.load("order:1")(ctx)
		require.NoError(t, s.deliver(ctx, through, "order:1"))
		return v, err
	})
	require.NoError(t, err)
	return s.read(t.Context(), through, "order:1", "order:1")
}

func TestARefillThatReadBeforeTheWrite(t *testing.T) {
	eachRedis(t, func(t *testing.T, r testRedis) {
		require.Equal(t, staleError{"order:1", "order:1", 1, 2}, refillAcrossAWrite(t, naive{r}))
		r.prefix += "gated:"
		require.NoError(t, refillAcrossAWrite(t, gated{r.cache(t, cache.Config{Settle: -1})}))
	})
}
