package dialect

import (
	"context"
	"database/sql"
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
	for i, number := range hashes(n, keys, numberOf) {
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
	slots := hashes(n, keys, slotOf)
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

func slotOf(hash uint64) int64 { return int64(hash % keyLockSlots) }

func numberOf(hash uint64) int64 { return int64(hash) }

// lockKeysSQLite has nothing to do: one transaction writes at a time.
func lockKeysSQLite(context.Context, Execer, Names, []EventKey) error { return nil }

// hashes returns the sorted, distinct lock numbers of keys.
func hashes(n Names, keys []EventKey, number func(uint64) int64) []int64 {
	numbers := make([]int64, 0, len(keys))
	for _, k := range keys {
		numbers = append(numbers, number(hash(n, k)))
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

// hash includes the table's name: advisory locks are shared by the whole database. The
// schema is left out: of two writers to one table one may name the schema, and the other
// leave it to its search path, and both must take the same lock.
func hash(n Names, k EventKey) uint64 {
	h := fnv.New64a()
	for _, part := range []string{n.Prefix + Events, k.Topic, k.Key} {
		h.Write([]byte(part))
		h.Write([]byte{0}) // no part has a NUL, so ("a","bc") and ("ab","c") differ
	}
	return h.Sum64()
}

// tryLockKeys takes the locks of keys that are free, without waiting, and reports which
// keys it has: for writers that hold what others wait for.
func tryLockKeys(ctx context.Context, tx *sql.Tx, n Names, keys []EventKey) (func(EventKey) bool, error) {
	var query string
	var args []any
	number := numberOf
	switch {
	case n.Dialect == SQLite || len(keys) == 0:
		return func(EventKey) bool { return true }, nil
	case n.Dialect == PostgreSQL:
		query, args = tryAdvisoryLocks, []any{intsArray(hashes(n, keys, number))}
	default:
		number = slotOf
		query = n.Expand("SELECT slot FROM {outbox_key_locks} FORCE INDEX (PRIMARY) WHERE slot IN (" +
			intsList(hashes(n, keys, number)) + ") FOR UPDATE SKIP LOCKED")
	}
	locked, err := queryInts(ctx, tx, query, args...)
	if err != nil {
		return nil, err
	}
	slices.Sort(locked)
	return func(k EventKey) bool {
		_, found := slices.BinarySearch(locked, number(hash(n, k)))
		return found
	}, nil
}

const tryAdvisoryLocks = `SELECT number
FROM (SELECT unnest($1::text::bigint[]) AS number OFFSET 0) AS numbers WHERE pg_try_advisory_xact_lock(number)`
