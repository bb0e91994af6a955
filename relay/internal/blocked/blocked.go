// Package blocked knows which keys of a source may be blocked by parked events. It uses little memory.
package blocked

import (
	"hash/maphash"
	"slices"
)

// Max is how many keys a set holds: at most 40 MB of hashes. If there are more, every key may be blocked.
const Max = 4_000_000

// Keys is a set of keys as hashes, eight bytes for each. It says which keys may be blocked, so that only
// those keys are looked up in outbox_parked. The table decides. So the set may contain too many keys, but
// never too few: it has a hash for each key that has a parked row.
//
// It is not safe for concurrent use.
type Keys struct {
	seed  maphash.Seed
	max   int
	parts [][]uint64 // by the first bits; each is sorted, and has a hash once for each key with it
	count int
}

const parts = 1 << 10

// New returns an empty set that keeps at most max keys, usually Max.
func New(max int) Keys { return Keys{seed: maphash.MakeSeed(), max: max} }

// Clear empties the set. The hashes of keys stay the same.
func (b *Keys) Clear() { b.parts, b.count = nil, 0 }

// Hash is the number of a topic and key, never 0. Two keys may have the same one.
func (b *Keys) Hash(topic string, key []byte) uint64 {
	return max(maphash.String(b.seed, topic)^maphash.Bytes(b.seed, key)*31, 1)
}

// Empty reports whether no key is blocked.
func (b *Keys) Empty() bool { return b.count == 0 }

// Len is how many keys were added. It is above Max if the set is Full.
func (b *Keys) Len() int { return b.count }

// Full reports whether there are more keys than the set keeps.
func (b *Keys) Full() bool { return b.count > b.max }

// May reports whether a key with this hash may be blocked.
func (b *Keys) May(hash uint64) bool {
	if b.count == 0 || b.Full() {
		return b.count > 0
	}
	_, found := slices.BinarySearch(b.parts[hash%parts], hash)
	return found
}

// Add adds the hash of a key that becomes blocked.
func (b *Keys) Add(hash uint64) {
	if b.Full() {
		return
	}
	if b.count++; b.Full() {
		b.parts = nil
		return
	}
	if b.parts == nil {
		b.parts = make([][]uint64, parts)
	}
	part := &b.parts[hash%parts]
	at, _ := slices.BinarySearch(*part, hash)
	*part = slices.Insert(*part, at, hash)
}

// Remove removes the hash of a key that is no longer blocked. An equal hash of another key stays.
func (b *Keys) Remove(hash uint64) {
	if b.count == 0 || b.Full() {
		return
	}
	part := &b.parts[hash%parts]
	if at, found := slices.BinarySearch(*part, hash); found {
		*part = slices.Delete(*part, at, at+1)
		b.count--
	}
}
