package dialect

import (
	"context"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
)

// Locks are taken in sorted order, each once: two transactions that lock the same
// two keys the other way round would wait for each other for ever.

// lockKeysPostgres takes transaction-level advisory locks: they end with the
// transaction, so a pooler between us and the server does no harm. The lock's
// number is 64 bits of a hash; two keys that share it wait for each other, no more.
//
// One statement, one parameter and one text for any number of keys: one round trip,
// and one entry in a driver's cache of prepared statements. The numbers travel as
// text because every driver can send that. The subquery has an ORDER BY, so the
// planner may not merge it into the outer query, which then calls the function row by
// row in that order; a test watches it do so.
func lockKeysPostgres(ctx context.Context, tx Execer, n Names, keys []EventKey) error {
	var list strings.Builder
	for i, number := range hashes(n, keys, func(h uint64) int64 { return int64(h) }) {
		if i > 0 {
			list.WriteByte(',')
		}
		list.WriteString(strconv.FormatInt(number, 10))
	}
	_, err := tx.ExecContext(ctx, advisoryLocks, list.String())
	return err
}

const advisoryLocks = `SELECT pg_advisory_xact_lock(number)
FROM (SELECT unnest(string_to_array($1::text, ',')::bigint[]) AS number ORDER BY 1 OFFSET 0) AS numbers`

// lockKeysMySQL locks rows of the small lock table; InnoDB keeps them until the
// transaction ends. IN over the primary key, in its order, locks in its order.
func lockKeysMySQL(ctx context.Context, tx Execer, n Names, keys []EventKey) error {
	slots := hashes(n, keys, func(h uint64) int64 { return int64(h % keyLockSlots) })
	var b strings.Builder
	b.WriteString("SELECT slot FROM {outbox_key_locks} WHERE slot IN (")
	for i, slot := range slots {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatInt(slot, 10))
	}
	b.WriteString(") ORDER BY slot FOR UPDATE")
	_, err := tx.ExecContext(ctx, n.Expand(b.String()))
	return err
}

const keyLockSlots = 1024

// lockKeysSQLite has nothing to do: one transaction writes at a time.
func lockKeysSQLite(context.Context, Execer, Names, []EventKey) error { return nil }

// hashes returns the sorted, distinct lock numbers of keys. The table's name is part
// of what is hashed: advisory locks are shared by the whole database. The schema is
// not: of two writers to one table one may name the schema, and the other leave it to
// its search path, and both must take the same lock.
func hashes(n Names, keys []EventKey, number func(uint64) int64) []int64 {
	numbers := make([]int64, 0, len(keys))
	for _, k := range keys {
		h := fnv.New64a()
		for _, part := range []string{n.Prefix + Events, k.Topic, k.Key} {
			h.Write([]byte(part))
			h.Write([]byte{0}) // no part has a NUL, so ("a","bc") and ("ab","c") differ
		}
		numbers = append(numbers, number(h.Sum64()))
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}
