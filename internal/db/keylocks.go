package db

import (
	"hash/fnv"
	"slices"
)

// EventKey is a topic and a key, within which order is kept.
type EventKey struct{ Topic, Key string }

// lockSlots is how many rows outbox_key_locks has.
const lockSlots = 1024

// LockNumber is the number of the lock of a key: of an advisory lock on PostgreSQL, of a row of
// outbox_key_locks on MySQL. If two keys share a number, their writers wait for each other; nothing else
// happens. SQLite has no such locks.
//
// The number depends on the table's name, because advisory locks belong to the whole database. It does not
// depend on the schema. One writer of a table may name the schema, another one may use its search path, and
// both must take the same lock.
func (n Names) LockNumber(k EventKey) int64 {
	h := fnv.New64a()
	for _, part := range []string{n.Prefix + Events, k.Topic, k.Key} {
		h.Write([]byte(part))
		h.Write([]byte{0}) // no part has a NUL, so ("a","bc") and ("ab","c") differ
	}
	sum := h.Sum64()
	return For(n.Dialect, int64(sum), int64(sum%lockSlots), 0)
}

// LockNumbers returns the distinct numbers of the keys' locks in ascending order. Locks must be taken in this
// order: two transactions that lock the same two keys in opposite orders would wait for each other for ever.
func (n Names) LockNumbers(keys []EventKey) []int64 {
	numbers := make([]int64, 0, len(keys))
	for _, k := range keys {
		numbers = append(numbers, n.LockNumber(k))
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}
