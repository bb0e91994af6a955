package cache_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/gateway/cache"
)

// naive is the cache that most of us write first: a write deletes the value, and a miss fills it in again.
type naive struct{ redis testRedis }

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
	return n.redis.client.Del(ctx, n.redis.prefix+entity).Err()
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
