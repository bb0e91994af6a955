package cache_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/gateway/cache"
)

// The property. An event is delivered when its write is committed and the cache knows of it. A reader of any level
// never gets a version older than the last one that was delivered before it asked.
//
// The levels: a customer (an entity), a page of a customer's orders (a query's result), and the answer about an order,
// which has the order and its customer in it (a full response).

// readThrough is a cache as the checker sees it. deliver makes a new version visible: commit writes it to the source.
type readThrough interface {
	Get(ctx context.Context, key string, load func(context.Context) (cache.Value, error)) (cache.Value, error)
	deliver(ctx context.Context, entity string, version int64, commit func()) error
}

// gated is the cache of this package, with the order of its users: raise, then commit.
type gated struct{ *cache.Cache }

func (g gated) deliver(ctx context.Context, entity string, version int64, commit func()) error {
	if err := g.Raise(ctx, cache.Versions{entity: version}); err != nil {
		return err
	}
	commit()
	return nil
}

// source is the database. It has the version of each entity, and those that were delivered.
type source struct {
	mu                sync.Mutex
	stored, delivered cache.Versions
}

func newSource() *source { return &source{stored: cache.Versions{}, delivered: cache.Versions{}} }

func (s *source) load(of ...string) func(context.Context) (cache.Value, error) {
	return func(context.Context) (cache.Value, error) {
		v := cache.Value{Versions: cache.Versions{}}
		s.mu.Lock()
		for _, entity := range of {
			v.Versions[entity] = s.stored[entity]
		}
		s.mu.Unlock()
		v.Body = fmt.Append(nil, v.Versions)
		runtime.Gosched() // the answer travels
		return v, nil
	}
}

func (s *source) deliver(ctx context.Context, to readThrough, entity string) error {
	s.mu.Lock()
	version := s.stored[entity] + 1 // each entity has one writer
	s.mu.Unlock()
	err := to.deliver(ctx, entity, version, func() {
		s.mu.Lock()
		s.stored[entity] = version
		s.mu.Unlock()
	})
	s.mu.Lock()
	s.delivered[entity] = version
	s.mu.Unlock()
	return err
}

// read asks for one key, and returns what is wrong with the answer.
func (s *source) read(ctx context.Context, through readThrough, key string, of ...string) error {
	s.mu.Lock()
	want := maps.Clone(s.delivered)
	s.mu.Unlock()
	got, err := through.Get(ctx, key, s.load(of...))
	if err != nil {
		return err
	}
	if string(got.Body) != fmt.Sprint(got.Versions) {
		return fmt.Errorf("%s: the body %s is not of the versions %v", key, got.Body, got.Versions)
	}
	for _, entity := range of {
		if got.Versions[entity] < want[entity] {
			return staleError{key, entity, got.Versions[entity], want[entity]}
		}
	}
	return nil
}

type staleError struct {
	key, entity    string
	got, delivered int64
}

func (e staleError) Error() string {
	return fmt.Sprintf("%s has version %d of %s, after version %d was delivered", e.key, e.got, e.entity, e.delivered)
}

// check lets writers and readers of all levels loose on gateways, until done says so or a reader finds a fault.
func check(t *testing.T, gateways []readThrough, done func(writes int64) bool) error {
	t.Helper()
	const customers = 3
	s, ctx := newSource(), t.Context()
	var writes atomic.Int64
	var fault atomic.Pointer[error]
	report := func(err error) {
		if err != nil {
			fault.CompareAndSwap(nil, &err)
		}
	}
	over := func() bool { return fault.Load() != nil || done(writes.Load()) }
	var all sync.WaitGroup
	for c := range customers {
		all.Go(func() {
			for !over() {
				kind := []string{"customer:", "orders-of:", "order:"}[rand.IntN(3)]
				report(s.deliver(ctx, gateways[rand.IntN(len(gateways))], kind+strconv.Itoa(c)))
				writes.Add(1)
			}
		})
	}
	for range 8 {
		all.Go(func() {
			for !over() {
				g, c := gateways[rand.IntN(len(gateways))], strconv.Itoa(rand.IntN(customers))
				report(s.read(ctx, g, "customer:"+c, "customer:"+c))
				report(s.read(ctx, g, "orders-of:"+c, "orders-of:"+c))
				report(s.read(ctx, g, "order:"+c, "order:"+c, "customer:"+c))
			}
		})
	}
	all.Wait()
	if found := fault.Load(); found != nil {
		return *found
	}
	return nil
}

func TestReadersNeverSeeAVersionOlderThanTheLastDelivered(t *testing.T) {
	eachRedis(t, func(t *testing.T, r testRedis) {
		var gateways []readThrough
		var caches []*cache.Cache
		for range 2 {
			c := r.cache(t, cache.Config{Settle: -1})
			caches, gateways = append(caches, c), append(gateways, gated{c})
		}
		require.NoError(t, check(t, gateways, func(writes int64) bool { return writes >= 3000 }))
		for _, c := range caches {
			require.Positive(t, c.Counts().Hits)
			require.Positive(t, c.Counts().Misses)
		}
	})
}

// The refill that read before a write is the only fault of the naive cache: without it the cache passes.
func TestTheNaiveCacheFailsTheSameCheck(t *testing.T) {
	eachRedis(t, func(t *testing.T, r testRedis) {
		gateways := []readThrough{naive{r}, naive{r}}
		err := check(t, gateways, func(int64) bool { return false }) // until it fails
		require.ErrorAs(t, err, &staleError{})

		r.prefix += "alternating:"
		var turn sync.RWMutex
		gateways = []readThrough{alternating{naive{r}, &turn}, alternating{naive{r}, &turn}}
		require.NoError(t, check(t, gateways, func(writes int64) bool { return writes >= 1000 }))
	})
}
