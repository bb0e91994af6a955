package history

import (
	"math"

	"github.com/google/uuid"
)

// Check judges what arrived by what was committed. The arrivals of a partition must be in the order of their offsets;
// those of different partitions may be mixed in any way. The order of committed does not matter: versions say it.
//
// An event is known by its ID: what was written under it is what must have arrived, to the topic, key and payload. A
// version that was rolled back and that another transaction committed later are two events. The properties, for each
// topic and key:
//
//   - lost: committed, and in no partition.
//   - uncommitted sent: its ID was never committed. Counted once for each copy.
//   - first occurrences out of order: its first copy stands behind a later version, or behind another
//     event of the same version.
//   - duplicates: each copy but the first.
//   - out of order at all: a copy, the first or not, stands behind a later version.
//   - altered: topic, key, version or payload are not what was committed.
//   - keys in several partitions: order across partitions is none.
func Check(committed []Event, arrived []Arrival) Findings {
	c := checker{
		found: Findings{},
		known: make(map[uuid.UUID]*fate, len(committed)),
		keys:  make(map[Key]*keyState),
	}
	fates := make([]fate, len(committed))
	for i, e := range committed {
		fates[i].Event = e
		c.known[e.ID] = &fates[i]
	}
	for _, a := range arrived {
		c.arrival(a)
	}
	for i := range fates {
		if f := &fates[i]; f.copies == 0 {
			c.found.add(Lost, Arrival{Event: f.Event, Partition: -1, Offset: -1}, "was committed")
		}
	}
	return c.found
}

type checker struct {
	found Findings
	known map[uuid.UUID]*fate
	keys  map[Key]*keyState
}

// fate is what became of a committed event.
type fate struct {
	Event
	copies int
	first  int64 // offset of the first copy
}

// keyState is what has been seen of a key.
type keyState struct {
	partition int32
	scattered bool
	latest    int64 // version
	latestID  uuid.UUID
	latestAt  int64 // its offset
}

func (c *checker) arrival(a Arrival) {
	f := c.known[a.ID]
	if f == nil {
		c.found.add(Uncommitted, a, "no transaction that committed wrote it")
		return
	}
	if a.Event != f.Event {
		c.found.add(Altered, a, "committed were topic %s, key %q, version %d, payload checksum %08x and not %08x",
			f.Topic, f.Key, f.Version, f.Sum, a.Sum)
	}
	f.copies++
	if f.copies == 1 {
		f.first = a.Offset
	} else {
		c.found.add(Duplicates, a, "copy number %d, the first is at offset %d", f.copies, f.first)
	}
	if f.Key != "" {
		c.order(a, f)
	}
}

// order judges by the version that was committed, whatever arrived as the version.
func (c *checker) order(a Arrival, f *fate) {
	key := Key{Topic: f.Topic, Name: f.Key}
	k := c.keys[key]
	if k == nil {
		k = &keyState{partition: a.Partition, latest: math.MinInt64}
		c.keys[key] = k
	}
	if a.Partition != k.partition && !k.scattered {
		k.scattered = true
		c.found.add(Scattered, a, "partition %d has events of the key too", k.partition)
	}
	if f.Version > k.latest || f.ID == k.latestID {
		k.latest, k.latestID, k.latestAt = f.Version, f.ID, a.Offset
		return
	}
	c.found.add(OutOfOrder, a, "behind version %d at offset %d", k.latest, k.latestAt)
	if f.copies == 1 {
		c.found.add(FirstOutOfOrder, a, "its first copy is behind version %d at offset %d", k.latest, k.latestAt)
	}
}
