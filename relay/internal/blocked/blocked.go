// Package blocked keeps which keys of a source may be blocked by parked events, in little memory.
package blocked

import (
	"hash/maphash"
	"slices"
)

// Max is how many keys a set holds: 40 MB of hashes at the most. Beyond, every key may be blocked.
const Max = 4_000_000

// Keys is a set of keys as hashes, eight bytes for each. It tells which keys may be blocked, and
// so which are worth a look into outbox_parked; that look decides. So the set may hold too much
// and never too little: it has a hash for each key that has a parked row.
//
// It is not safe for concurrent use.
type Keys struct {
	seed  maphash.Seed
	max   int
	parts [][]uint64 // by the first bits; each sorted, with a hash once for each key that has it
	count int
}

const parts = 1 << 10

// New returns an empty set that keeps at most max keys, as a rule Max.
func New(max int) Keys { return Keys{seed: maphash.MakeSeed(), max: max} }

// Clear empties the set. Hashes stay the same.
func (b *Keys) Clear() { b.parts, b.count = nil, 0 }

// Hash is the number of a topic and key, never 0. Two keys may have the same one.
func (b *Keys) Hash(topic string, key []byte) uint64 {
	return max(maphash.String(b.seed, topic)^maphash.Bytes(b.seed, key)*31, 1)
}

// Empty reports whether no key is blocked.
func (b *Keys) Empty() bool { return b.count == 0 }

// Len is how many keys the set has been given; more than Max once it is Full.
func (b *Keys) Len() int { return b.count }

// Full reports that there are more keys than the set keeps.
func (b *Keys) Full() bool { return b.count > b.max }

// May reports whether a key with this hash may be blocked.
func (b *Keys) May(hash uint64) bool {
	if b.count == 0 || b.Full() {
		return b.count > 0
	}
	_, found := slices.BinarySearch(b.parts[hash%parts], hash)
	return found
}

// Add takes in the hash of a key that becomes blocked.
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

// Remove takes out the hash of a key that is no longer blocked. Another one's equal hash stays.
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
