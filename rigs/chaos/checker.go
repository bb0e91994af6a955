package chaos

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Event is one event as its writer knows it. Key "" is an event without a key; others
// carry a version, which grows by one with each event of the topic and key, in the order
// in which their transactions committed.
type Event struct {
	ID      uuid.UUID
	Topic   string
	Key     string
	Version int64
	Sum     uint32 // checksum of the payload
}

// Arrival is an event as Kafka has it.
type Arrival struct {
	Event
	Partition int32
	Offset    int64
	Time      time.Time // when it was produced, by the producer's clock
}

// Property is what can be wrong with a history.
type Property string

// The properties.
const (
	Lost            Property = "lost"
	Uncommitted     Property = "uncommitted sent"
	FirstOutOfOrder Property = "first occurrences out of order per key"
	Duplicates      Property = "duplicates"
	OutOfOrder      Property = "out of order at all"
	Altered         Property = "altered"
	Scattered       Property = "keys in several partitions"
	RefusedSent     Property = "refused events sent"
	ParkedWrongly   Property = "parked wrongly"
)

// Properties lists them in the order of the report.
func Properties() []Property {
	return []Property{Lost, Uncommitted, FirstOutOfOrder, Duplicates, OutOfOrder, Altered, Scattered, RefusedSent, ParkedWrongly}
}

// Findings are the offenders against each property.
type Findings map[Property]*Finding

// Finding counts the offenders against one property, and has the first of them.
type Finding struct {
	Count     int
	Offenders []Offender
}

// Offender is one event that broke a property. An event that never arrived has the
// offset -1.
type Offender struct {
	Arrival
	Note string
}

func (o Offender) String() string {
	at := "never arrived"
	if o.Offset >= 0 {
		at = fmt.Sprintf("partition %d, offset %d", o.Partition, o.Offset)
	}
	return fmt.Sprintf("event %s, topic %s, key %q, version %d: %s; %s", o.ID, o.Topic, o.Key, o.Version, at, o.Note)
}

// shown is how many offenders a Finding keeps.
const shown = 20

func (f Findings) add(p Property, a Arrival, note string, args ...any) {
	if f[p] == nil {
		f[p] = &Finding{}
	}
	f[p].Count++
	if len(f[p].Offenders) < shown {
		f[p].Offenders = append(f[p].Offenders, Offender{Arrival: a, Note: fmt.Sprintf(note, args...)})
	}
}

// Count returns how many events broke a property.
func (f Findings) Count(p Property) int {
	if f[p] == nil {
		return 0
	}
	return f[p].Count
}

// Check judges what arrived by what was committed. The arrivals of a partition must be in
// the order of their offsets; those of different partitions may be mixed in any way. The
// order of committed is of no meaning, versions are.
//
// An event is known by its ID: what was written under it is what must have arrived, to
// the topic, key and payload. The properties, for each topic and key:
//
//   - lost: committed, and in no partition.
//   - uncommitted sent: its ID was never committed. Counted once for each copy.
//   - first occurrences out of order: its first copy stands behind a later version.
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
		k = &keyState{partition: a.Partition}
		c.keys[key] = k
	}
	if a.Partition != k.partition && !k.scattered {
		k.scattered = true
		c.found.add(Scattered, a, "partition %d has events of the key too", k.partition)
	}
	if f.Version >= k.latest {
		k.latest, k.latestAt = f.Version, a.Offset
		return
	}
	c.found.add(OutOfOrder, a, "behind version %d at offset %d", k.latest, k.latestAt)
	if f.copies == 1 {
		c.found.add(FirstOutOfOrder, a, "its first copy is behind version %d at offset %d", k.latest, k.latestAt)
	}
}

// Mode is a mode of delivery, as relay run calls it.
type Mode string

// The modes.
const (
	AtLeastOnce Mode = "at-least-once"
	ExactlyOnce Mode = "exactly-once"
)

// Allows reports whether a mode promises nothing about a property: its count is reported
// and judged by nobody.
func (m Mode) Allows(p Property) bool {
	return m == AtLeastOnce && (p == Duplicates || p == OutOfOrder)
}

// Broken lists the properties that the mode promises and the findings break.
func (f Findings) Broken(m Mode) (broken []Property) {
	for _, p := range Properties() {
		if f.Count(p) > 0 && !m.Allows(p) {
			broken = append(broken, p)
		}
	}
	return broken
}
