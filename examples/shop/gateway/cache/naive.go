package cache

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// slowRefill is how long a reader takes from its read to its refill in the naive way. A pause of the process, a busy
// machine or a slow network does that now and then; here it happens each time, so that one need not wait for it.
const slowRefill = 2 * time.Second

// naivePrefix is before the keys of the values that the naive way stores, so that the right way never reads them.
const naivePrefix = "value:naive:"

// getNaively is the cache that most of us write first: a miss reads the source and fills the value in, a write deletes
// it. A write between the read and the refill deletes nothing, and the old value stays until it expires.
func (c *Cache) getNaively(ctx context.Context, key string, load func(context.Context) (Value, error)) (Value, error) {
	fields, err := c.cfg.Redis.HGetAll(ctx, c.cfg.Prefix+naivePrefix+key).Result()
	if err == nil && len(fields) > 0 {
		value := Value{Versions: Versions{}}
		for name, text := range fields {
			if name == "body" {
				value.Body = []byte(text)
				continue
			}
			value.Versions[name], _ = strconv.ParseInt(text, 10, 64)
		}
		return value, nil
	}
	value, err := load(ctx)
	if err == nil {
		time.AfterFunc(slowRefill, func() { c.storeNaively(key, value) })
	}
	return value, err
}

// storeNaively stores without a look at what happened since the read. It also notes which values an entity is in: a
// write deletes those.
func (c *Cache) storeNaively(key string, value Value) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	pipe := c.cfg.Redis.Pipeline()
	stored := c.cfg.Prefix + naivePrefix + key
	pipe.Del(ctx, stored)
	pipe.HSet(ctx, stored, "body", value.Body)
	for entity, version := range value.Versions {
		pipe.HSet(ctx, stored, entity, version)
		pipe.SAdd(ctx, c.naiveSet(entity), stored)
		pipe.PExpire(ctx, c.naiveSet(entity), c.cfg.FloorTTL)
	}
	pipe.PExpire(ctx, stored, c.cfg.TTL)
	_, _ = pipe.Exec(ctx) // a value that is not stored is a miss
}

func (c *Cache) deleteNaively(ctx context.Context, changed Versions) error {
	for entity := range changed {
		keys, err := c.cfg.Redis.SMembers(ctx, c.naiveSet(entity)).Result()
		if err == nil {
			err = c.cfg.Redis.Del(ctx, append(keys, c.naiveSet(entity))...).Err()
		}
		if err != nil {
			return fmt.Errorf("delete from the cache: %w", err)
		}
	}
	return nil
}

func (c *Cache) naiveSet(entity string) string { return c.cfg.Prefix + "naive-of:" + entity }
