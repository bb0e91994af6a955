package history

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Event is one event as its writer knows it. Key "" is an event without a key; others carry a version, which grows with
// each event of the topic and key, in the order in which their transactions committed.
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

// Key is what order is kept within.
type Key struct{ Topic, Name string }

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
	return []Property{
		Lost, Uncommitted, FirstOutOfOrder, Duplicates, OutOfOrder, Altered, Scattered, RefusedSent, ParkedWrongly,
	}
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

// Merge adds the findings of another check.
func (f Findings) Merge(other Findings) {
	for p, finding := range other {
		if f[p] == nil {
			f[p] = &Finding{}
		}
		f[p].Count += finding.Count
		all := slices.Concat(f[p].Offenders, finding.Offenders)
		f[p].Offenders = all[:min(shown, len(all))]
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
