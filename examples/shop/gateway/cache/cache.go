// Package cache keeps answers in Redis, and never gives an old one away.
//
// A value knows the entities that it was made of, and the version of each. An event raises the floor of its entity to
// its version. A value below a floor is not given away, and not stored. So the usual faults cannot happen:
//
//   - A refill read version 1, an event brought version 2, and the refill stores version 1: it is below the floor.
//   - Events arrive late or twice: a floor never sinks.
//   - A floor must outlive the values that it is about. Floors live longer than values, and a fill that took longer
//     than FillLimit is not stored.
//   - Redis was restarted and is empty, and so are its floors. Each life of Redis has a name, the generation. A fill
//     that began in another generation is not stored, nor one in the first moments (Settle) of a generation.
//   - Redis is full and evicts keys: it could evict a floor, and keep the old value below it. A Redis that may do that
//     is taken for one that is away (Connect).
//   - Redis is away: Get reads the source. Raise returns the error: its caller must not go on before Raise succeeded.
//   - A caller joined a read that another caller had begun before the last event: it looks again.
//
// The rule for writers: Raise, then commit. A reader between the two reads the source and stores nothing. After the
// other order a reader could find the old value in the cache, although the new one is committed.
//
// All gateways share the floors, because they are in Redis. It must be one Redis with its data in one place: a failover
// to a replica that lacks the last floors can show old values until their TTL.
package cache

import (
	"cmp"
	"context"
	"crypto/rand"
	_ "embed" // the scripts
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/singleflight"

	"github.com/postroom/postroom/examples/shop/rules"
)

// Versions are the entities that a value was made of, such as "customer:7", with the version of each.
type Versions map[string]int64

// Value is an answer, and what it was made of.
type Value struct {
	Body     []byte
	Versions Versions
}

// Config configures a Cache. All durations have defaults.
type Config struct {
	Redis  *redis.Client
	Prefix string // of all keys

	// TTL is how long a value is kept. It only frees memory: values do not get old. Default: 5 minutes.
	TTL time.Duration
	// FillLimit is the longest time from a miss to the end of its fill. Default: 30 s.
	FillLimit time.Duration
	// FloorTTL must be longer than TTL and FillLimit together, and than a transaction between its Raise and its commit.
	// Default: 1 hour.
	FloorTTL time.Duration
	// Settle is how long an empty Redis stores nothing. It must be longer than a transaction between its Raise and its
	// commit: the floor may be among what Redis has lost. Default: 5 s; negative: none.
	Settle time.Duration
	Rules  *rules.Switches // of the demonstration; nil: all rules are followed
	Logger *slog.Logger
}

// Cache is safe for concurrent use. Several processes may use one Redis.
type Cache struct {
	cfg       Config
	flights   singleflight.Group
	awayUntil atomic.Int64 // unix nanoseconds: until then nobody asks Redis
	counts    struct{ hits, misses, refused, away atomic.Int64 }
}

// pause is how long Get does without Redis after it failed. Otherwise each request would wait for a timeout.
const pause = time.Second

//go:embed lookup.lua
var lookupText string

//go:embed store.lua
var storeText string

//go:embed raise.lua
var raiseText string

var (
	lookupScript = redis.NewScript(lookupText)
	storeScript  = redis.NewScript(storeText)
	raiseScript  = redis.NewScript(raiseText)
)

// Connect returns a client that gives up soon: an answer without the cache is better than a late one. It does not use a
// Redis that may evict floors. It asks at each new connection, and so notices CONFIG SET at the next one.
func Connect(address string) *redis.Client {
	return redis.NewClient(&redis.Options{
		OnConnect: mustNotEvict,
		Addr:      address, DialTimeout: time.Second, ReadTimeout: time.Second, WriteTimeout: time.Second,
		MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true,
	})
}

// mustNotEvict returns an error if Redis has a limit of memory and deletes keys when it is reached. With the policy
// noeviction a full Redis rejects writes instead: then nothing is stored, and Raise fails.
func mustNotEvict(ctx context.Context, connection *redis.Conn) error {
	info, err := connection.Info(ctx).Result() // unlike CONFIG GET, managed servers allow it
	if err != nil {
		return err
	}
	is := map[string]string{}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		is[name] = value
	}
	limit, policy := cmp.Or(is["maxmemory"], "0"), cmp.Or(is["maxmemory_policy"], "noeviction")
	if limit != "0" && policy != "noeviction" {
		return fmt.Errorf("the policy of Redis is %s: it may evict a floor and keep the value that the floor made "+
			"invalid; set maxmemory-policy to noeviction", policy)
	}
	return nil
}

// New returns a Cache. It does not connect.
func New(cfg Config) (*Cache, error) {
	setDefault(&cfg.TTL, 5*time.Minute)
	setDefault(&cfg.FillLimit, 30*time.Second)
	setDefault(&cfg.FloorTTL, time.Hour)
	setDefault(&cfg.Settle, 5*time.Second)
	if cfg.FloorTTL <= cfg.TTL+cfg.FillLimit {
		return nil, fmt.Errorf("cache: FloorTTL is %v: it must be longer than TTL and FillLimit together", cfg.FloorTTL)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Cache{cfg: cfg}, nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// Get returns the value of key, from Redis or by load. Callers of one key that miss at the same time share one load.
// load must read after it is called; its error is returned as it is.
func (c *Cache) Get(ctx context.Context, key string, load func(context.Context) (Value, error)) (Value, error) {
	if !c.cfg.Rules.On(rules.VersionGate) {
		return c.getNaively(ctx, key, load)
	}
	// Two rounds are enough unless events come faster than loads.
	for range 3 {
		found, ticket, ok := c.lookup(ctx, key)
		if !ok {
			break
		}
		if ticket == nil {
			c.counts.hits.Add(1)
			return found, nil
		}
		value, mine, err := c.fly(ctx, key, load)
		if mine || ctx.Err() != nil {
			return value, err
		}
		// Another caller began this read, perhaps before an event that came before this caller asked. The value is
		// good if it is in Redis above the floors now.
	}
	return load(ctx)
}

// fly loads and stores the value, or waits for another caller that does, and tells whether it was this one.
func (c *Cache) fly(
	ctx context.Context, key string, load func(context.Context) (Value, error),
) (Value, bool, error) {
	mine := false // whether the load began after this caller asked
	flight := c.flights.DoChan(key, func() (any, error) {
		mine = true
		// Others may wait for this: the end of one caller must not end it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.FillLimit)
		defer cancel()
		// Another flight may have ended since this caller looked.
		value, ticket, ok := c.lookup(ctx, key)
		if ok && ticket == nil {
			return value, nil
		}
		c.counts.misses.Add(1)
		value, err := load(ctx)
		if ok && err == nil {
			c.store(ctx, key, *ticket, value)
		}
		return value, err
	})
	select {
	case <-ctx.Done():
		return Value{}, false, ctx.Err()
	case result := <-flight: // it orders the reading of mine after the writing
		value, _ := result.Val.(Value)
		return value, mine, result.Err
	}
}

// ticket says in which life of Redis a miss was, and when.
type ticket struct{ generation, at string }

// lookup returns the value, or a ticket for filling it in. ok is false if Redis is away.
func (c *Cache) lookup(ctx context.Context, key string) (value Value, t *ticket, ok bool) {
	if time.Now().UnixNano() < c.awayUntil.Load() {
		c.counts.away.Add(1)
		return Value{}, nil, false
	}
	keys := []string{c.valueKey(key), c.generationKey()}
	answer, err := lookupScript.Run(ctx, c.cfg.Redis, keys, c.floorKey(""), rand.Text()).Slice()
	if err != nil {
		c.failed(ctx, err)
		return Value{}, nil, false
	}
	text := make([]string, len(answer))
	for i, part := range answer {
		text[i] = fmt.Sprint(part)
	}
	if text[0] == "0" {
		return Value{}, &ticket{generation: text[1], at: text[2]}, true
	}
	value.Versions = Versions{}
	for i := 1; i < len(text); i += 2 {
		if text[i] == "body" {
			value.Body = []byte(text[i+1])
			continue
		}
		// The scripts compare versions, and have read them as numbers already.
		value.Versions[text[i]], _ = strconv.ParseInt(text[i+1], 10, 64)
	}
	return value, nil, true
}

func (c *Cache) store(ctx context.Context, key string, t ticket, v Value) {
	args := []any{
		c.floorKey(""), t.generation, t.at,
		c.cfg.FillLimit.Milliseconds(), c.cfg.Settle.Milliseconds(), c.cfg.TTL.Milliseconds(), v.Body,
	}
	for entity, version := range v.Versions {
		args = append(args, entity, version)
	}
	outcome, err := storeScript.Run(ctx, c.cfg.Redis, []string{c.valueKey(key), c.generationKey()}, args...).Text()
	switch {
	case err != nil:
		c.failed(ctx, err)
	case outcome != "stored":
		c.counts.refused.Add(1)
		c.cfg.Logger.DebugContext(ctx, "the cache did not store a value", "key", key, "reason", outcome)
	}
}

// Raise raises the floor of each entity to its version. When it returns nil, no gateway gives an older value from the
// cache any more. Call it before the commit that makes the version visible, and do not commit if it fails.
func (c *Cache) Raise(ctx context.Context, floors Versions) error {
	if len(floors) == 0 {
		return nil
	}
	if !c.cfg.Rules.On(rules.VersionGate) {
		if err := c.deleteNaively(ctx, floors); err != nil {
			return err
		}
	}
	var keys []string
	args := []any{c.cfg.FloorTTL.Milliseconds()}
	for entity, version := range floors {
		keys, args = append(keys, c.floorKey(entity)), append(args, version)
	}
	if err := raiseScript.Run(ctx, c.cfg.Redis, keys, args...).Err(); err != nil {
		return fmt.Errorf("raise the floors of the cache: %w", err)
	}
	return nil
}

func (c *Cache) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // the caller went away, not Redis
	}
	until := time.Now().Add(pause).UnixNano()
	if before := c.awayUntil.Swap(until); before < until-2*int64(pause) {
		c.cfg.Logger.WarnContext(ctx, "Redis does not answer; requests are answered without the cache", "error", err)
	}
}

func (c *Cache) valueKey(key string) string    { return c.cfg.Prefix + "value:" + key }
func (c *Cache) floorKey(entity string) string { return c.cfg.Prefix + "floor:" + entity }
func (c *Cache) generationKey() string         { return c.cfg.Prefix + "generation" }

// Counts are what happened since New, in this process.
type Counts struct {
	Hits    int64 `json:"hits"`
	Misses  int64 `json:"misses"`  // loads; callers that joined one are not counted
	Refused int64 `json:"refused"` // values that were not stored, because they could be old
	Away    int64 `json:"away"`    // requests that did not ask Redis, because it had just failed
}

// Counts returns the current numbers.
func (c *Cache) Counts() Counts {
	return Counts{
		Hits: c.counts.hits.Load(), Misses: c.counts.misses.Load(),
		Refused: c.counts.refused.Load(), Away: c.counts.away.Load(),
	}
}
