package relay

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"

	store "github.com/postroom/postroom/internal/store/relay"
)

// maxBlockedKeys is how many keys blockedKeys holds: 40 MB of hashes at the most. Beyond,
// every key of a read is looked up.
const maxBlockedKeys = 4_000_000

// blockedKeys is what an owner knows of the keys that have parked rows, for as long as
// its lease lasts: their hashes, eight bytes for each. It only tells which keys may be
// blocked, and so which are worth a look into outbox_parked; that look decides. So it may
// hold too much and never too little: a hash is there for each key that has a parked row.
//
// With the policy skip no key is blocked, and it is how far the parked rows are marked.
//
// Only the owner moves rows, so it stays true without being read again. After a move of
// which it is not known whether it took place it is read anew, and so it is on another
// server, where the lease is another.
//
// Its user is the one goroutine that reads.
type blockedKeys struct {
	seed  maphash.Seed
	max   int
	parts [][]uint64 // by the first bits; each sorted, with a hash once for each key that has it
	count int

	loaded     bool
	after      store.BlockedPart // if not loaded: how far that has got
	slowLogged bool              // that the marks take long
}

const blockedParts = 1 << 10

func newBlockedKeys() *blockedKeys {
	return &blockedKeys{seed: maphash.MakeSeed(), max: maxBlockedKeys}
}

// forget empties the set: it is to be loaded again.
func (b *blockedKeys) forget() {
	*b = blockedKeys{seed: b.seed, max: b.max}
}

func (b *blockedKeys) hash(topic string, key []byte) uint64 { return keyHash(b.seed, topic, key) }

// full reports that there are more keys than are kept.
func (b *blockedKeys) full() bool { return b.count > b.max }

// may reports whether a key with this hash may be blocked.
func (b *blockedKeys) may(hash uint64) bool {
	if b.count == 0 || b.full() {
		return b.count > 0
	}
	_, found := slices.BinarySearch(b.parts[hash%blockedParts], hash)
	return found
}

// add takes in the hash of a key that becomes blocked.
func (b *blockedKeys) add(hash uint64) {
	if b.full() {
		return
	}
	if b.count++; b.full() {
		b.parts = nil
		return
	}
	if b.parts == nil {
		b.parts = make([][]uint64, blockedParts)
	}
	part := &b.parts[hash%blockedParts]
	at, _ := slices.BinarySearch(*part, hash)
	*part = slices.Insert(*part, at, hash)
}

// remove takes out the hash of a key that is free. Another one's equal hash stays.
func (b *blockedKeys) remove(hash uint64) {
	if b.count == 0 || b.full() {
		return
	}
	part := &b.parts[hash%blockedParts]
	if at, found := slices.BinarySearch(*part, hash); found {
		*part = slices.Delete(*part, at, at+1)
		b.count--
	}
}

// loadBlockedPart takes in the next part of the parked keys.
func (q *quarantine) loadBlockedPart(ctx context.Context) error {
	b := q.keeper.blocked
	var hashes []uint64
	after, more, err := q.relay.store.ScanBlockedKeys(ctx, b.after, func(topic string, key []byte) {
		hashes = append(hashes, b.hash(topic, key))
	})
	if err != nil {
		return fmt.Errorf("look for blocked keys: %w", err)
	}
	for _, hash := range hashes {
		b.add(hash)
	}
	b.after, b.loaded = after, !more
	return nil
}

// markOvertaken marks the next part of what another policy has parked. The policy skip
// delivers nothing before all is marked: a later event of a key would be ahead of one that
// an operator could have sent again without a warning (hazard unmarked-overtaking).
func (q *quarantine) markOvertaken(ctx context.Context) error {
	b := q.keeper.blocked
	if b.after.Seq > 0 && !b.slowLogged {
		b.slowLogged = true
		q.relay.log.Info("marking parked events as overtaken, by the policy skip: delivery goes on when all are marked",
			"table", q.relay.store.Table(), "marked_up_to", b.after.Seq)
	}
	next, more, err := q.relay.store.MarkOvertaken(ctx, q.lease, b.after.Seq)
	if err != nil {
		q.keeper.endIfLost(err)
		return fmt.Errorf("mark parked events as overtaken: %w", err)
	}
	b.after.Seq, b.loaded = next, !more
	return nil
}
