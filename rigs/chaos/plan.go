package chaos

import (
	"cmp"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Plan is everything that a seed decides. It has no state: the same seed and counts give the same answers, in
// any order of the calls.
type Plan struct {
	Seed     uint64
	Relays   int
	LeaseTTL time.Duration
}

// Kind is a kind of trouble.
type Kind string

// Kinds of trouble.
const (
	KillRelay     Kind = "kill relay"     // SIGKILL
	PauseRelay    Kind = "pause relay"    // SIGSTOP for longer than the lease, then SIGCONT
	CutRelay      Kind = "cut relay"      // one database connection of a relay, from the server's side
	CutWriter     Kind = "cut writer"     // one database connection of a writer
	KillBroker    Kind = "kill broker"    // SIGKILL, then a new start
	RestartBroker Kind = "restart broker" // SIGTERM, then a new start
	LockTable     Kind = "lock table"     // outbox_events, against readers and writers
	LockRow       Kind = "lock row"       // one of the first rows of outbox_events
	LockLease     Kind = "lock lease"     // the one row of outbox_leases
	BlindOwner    Kind = "blind"          // the owner's connection to Kafka, and no other relay's
	RefusedEvents Kind = "refused events" // a burst of events that their topic rejects
)

// Trouble is one blow.
type Trouble struct {
	At   time.Duration // since the start of the run
	Kind Kind
	// Owner aims at the relay that claimed the lease last. Otherwise Relay is the number of the target. If
	// the target cannot be hit, because it is paused already, the next relay is hit.
	Owner bool
	Relay int
	// For is how long a pause or a lock lasts. For a blind owner it is the shortest time.
	For time.Duration
	// Pick chooses one of the connections or rows, or how a connection is cut.
	Pick uint64
	// Number counts the blows of a stream, from 0.
	Number int
}

// stream is one kind of trouble: the time of its first blow, and the time from one blow to the next.
type stream struct {
	number       uint64
	first, every span
	make         func(rng *rand.Rand, i int) Trouble
}

// span is a range of times. It does not include its end.
type span struct{ from, to time.Duration }

func (s span) pick(rng *rand.Rand) time.Duration {
	return s.from + time.Duration(rng.Int64N(max(1, int64(s.to-s.from))))
}

const ms = time.Millisecond

// streams returns the streams of trouble. They are independent: a change to one does not change the times of
// the others. The times give more than 40 kills and 40 pauses in 60 s, and the broker is up during most of
// them.
func (p Plan) streams() []stream {
	aim := func(rng *rand.Rand, t Trouble) Trouble {
		t.Owner = rng.IntN(3) > 0
		t.Relay = rng.IntN(max(1, p.Relays))
		t.Pick = rng.Uint64()
		return t
	}
	return []stream{
		{
			number: 1, first: span{1500 * ms, 2500 * ms}, every: span{900 * ms, 1400 * ms},
			make: func(rng *rand.Rand, _ int) Trouble {
				return aim(rng, Trouble{Kind: KillRelay})
			},
		},
		{
			number: 2, first: span{1000 * ms, 2000 * ms}, every: span{800 * ms, 1400 * ms},
			make: func(rng *rand.Rand, _ int) Trouble {
				return aim(rng, Trouble{Kind: PauseRelay, For: p.pause(rng)})
			},
		},
		{
			number: 3, first: span{2000 * ms, 4000 * ms}, every: span{1200 * ms, 3200 * ms},
			make: func(rng *rand.Rand, _ int) Trouble {
				kind := CutRelay
				if rng.IntN(2) == 0 {
					kind = CutWriter
				}
				return aim(rng, Trouble{Kind: kind})
			},
		},
		{
			number: 4, first: span{6 * time.Second, 12 * time.Second},
			every: span{26 * time.Second, 32 * time.Second},
			make: func(_ *rand.Rand, i int) Trouble {
				return Trouble{Kind: []Kind{KillBroker, RestartBroker}[i%2]}
			},
		},
		{
			number: 5, first: span{8 * time.Second, 14 * time.Second},
			every: span{16 * time.Second, 22 * time.Second},
			make: func(rng *rand.Rand, _ int) Trouble {
				return Trouble{Kind: LockTable, For: span{2000 * ms, 3000 * ms}.pick(rng)}
			},
		},
		{
			number: 6, first: span{3 * time.Second, 6 * time.Second}, every: span{5 * time.Second, 9 * time.Second},
			make: func(rng *rand.Rand, i int) Trouble {
				return Trouble{
					Kind: []Kind{LockRow, LockRow, LockLease}[i%3], For: span{2000 * ms, 4000 * ms}.pick(rng),
					Pick: rng.Uint64(),
				}
			},
		},
		{
			number: 7, first: span{4 * time.Second, 8 * time.Second}, every: span{12 * time.Second, 18 * time.Second},
			make: func(_ *rand.Rand, i int) Trouble {
				return Trouble{Kind: RefusedEvents, Number: i}
			},
		},
		{
			number: 8, first: span{15 * time.Second, 25 * time.Second},
			every: span{50 * time.Second, 70 * time.Second},
			make: func(rng *rand.Rand, _ int) Trouble {
				return Trouble{Kind: BlindOwner, For: 25 * time.Second, Pick: rng.Uint64()}
			},
		},
	}
}

// pause returns how long a process is paused. It is longer than the lease: 1.6 s to 3.5 s for a lease of 1.5
// s. Most pauses are short, because a paused relay proves nothing more.
func (p Plan) pause(rng *rand.Rand) time.Duration {
	u := rng.Float64()
	return p.LeaseTTL + 100*ms + time.Duration(u*u*float64(1900*ms))
}

// Troubles returns all trouble in the order of time, without end.
func (p Plan) Troubles() iter.Seq[Trouble] {
	return func(yield func(Trouble) bool) {
		streams := p.streams()
		rngs := make([]*rand.Rand, len(streams))
		next := make([]Trouble, len(streams))
		for i, s := range streams {
			rngs[i] = p.rng(troubleStream, s.number)
			at := s.first.pick(rngs[i])
			next[i] = s.make(rngs[i], 0)
			next[i].At = at
		}
		for counts := make([]int, len(streams)); ; {
			soonest := slices.MinFunc(next, func(a, b Trouble) int { return cmp.Compare(a.At, b.At) })
			i := slices.Index(next, soonest)
			if !yield(soonest) {
				return
			}
			counts[i]++
			at := soonest.At + streams[i].every.pick(rngs[i])
			next[i] = streams[i].make(rngs[i], counts[i])
			next[i].At = at
		}
	}
}

// These numbers keep random streams apart. No two purposes share one.
const (
	troubleStream = 1 << 32
	writerStream  = 2 << 32
	refusedStream = 1 << 63 // above the numbers of all writers
)

func (p Plan) rng(purpose, number uint64) *rand.Rand {
	return rand.New(rand.NewPCG(p.Seed, purpose+number))
}

// Transaction is what a writer does in one transaction.
type Transaction struct {
	// Keys are locked in this order. All transactions use the same order.
	Keys   []int
	Events []PlannedEvent
	// EarlyID gives the transaction its id before it waits for anything. So transaction ids, row ids and
	// commits have three different orders.
	EarlyID bool
	// PlainSQL inserts with its own SQL instead of package outbox.
	PlainSQL bool
	Think    time.Duration // between the locks and the events
	Hold     time.Duration // between the events and the end
	Rollback bool
}

// PlannedEvent is one event of a transaction. Key is an index into Transaction.Keys. It is -1 for an event
// without a key, for which no order is promised.
type PlannedEvent struct {
	ID      uuid.UUID
	Key     int
	Padding int // bytes
}

// These are the sizes of the two sets of keys. In the hot set, writers often use the same key.
const (
	hotKeys  = 12
	coldKeys = 3000
	allKeys  = hotKeys + coldKeys
)

// Transaction returns the number-th transaction of a writer.
func (p Plan) Transaction(writer, number int) Transaction {
	rng := p.rng(writerStream+uint64(writer)<<34, uint64(number))
	t := Transaction{
		EarlyID:  rng.IntN(4) == 0,
		PlainSQL: rng.IntN(10) == 0,
		Rollback: rng.IntN(10) == 0,
	}
	t.Think, t.Hold = p.dawdle(rng)
	t.Keys = pickKeys(rng, t.Think+t.Hold)
	for range 1 + rng.IntN(5) {
		e := PlannedEvent{ID: newID(rng), Key: rng.IntN(len(t.Keys)), Padding: 20 + rng.IntN(200)}
		switch n := rng.IntN(1000); {
		case n < 30:
			e.Key = -1
		case n < 35:
			e.Padding = 20_000
		}
		t.Events = append(t.Events, e)
	}
	return t
}

// burstEvents is how many events a burst of rejected events has.
const burstEvents = 50

// Burst returns the number-th burst of events that their topic rejects. The topic is compacted and accepts
// only small records. Some of the events have no key. The others have one key each and are large.
func (p Plan) Burst(number int) (events []PlannedEvent) {
	rng := p.rng(refusedStream, uint64(number))
	for i := range burstEvents {
		e := PlannedEvent{ID: newID(rng), Key: -1, Padding: 20 + rng.IntN(200)}
		if rng.IntN(2) == 0 {
			e.Key, e.Padding = i, 4*refusedAbove
		}
		events = append(events, e)
	}
	return events
}

// refusedAbove is the size, in bytes, of the largest record that the rejecting topic accepts.
const refusedAbove = 4000

// dawdle returns how long the transaction of a service does other work: mostly not at all, sometimes so long
// that hundreds of other transactions commit, and rarely longer than a lease.
func (p Plan) dawdle(rng *rand.Rand) (think, hold time.Duration) {
	switch n := rng.IntN(10_000); {
	case n < 15:
		hold = span{p.LeaseTTL + 100*ms, 2 * p.LeaseTTL}.pick(rng)
	case n < 165:
		hold = span{50 * ms, 500 * ms}.pick(rng)
	case n < 1_000:
		hold = span{0, 20 * ms}.pick(rng)
	case n < 2_000:
		think = span{0, 10 * ms}.pick(rng)
	}
	return think, hold
}

// pickKeys takes one or two keys in ascending order. Only one in ten slow transactions locks a hot key,
// because all writers would wait for it and write nothing.
func pickKeys(rng *rand.Rand, slow time.Duration) []int {
	n := 1
	if rng.IntN(5) == 0 {
		n = 2
	}
	keys := make([]int, n)
	for i := range keys {
		hot := rng.IntN(3) == 0
		if slow > 100*ms {
			hot = rng.IntN(10) == 0
		}
		keys[i] = hotKeys + rng.IntN(coldKeys)
		if hot {
			keys[i] = rng.IntN(hotKeys)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func newID(rng *rand.Rand) (id uuid.UUID) {
	for i := range id {
		id[i] = byte(rng.Uint32())
	}
	id[6] = id[6]&0x0f | 0x40 // version 4
	id[8] = id[8]&0x3f | 0x80 // RFC 9562
	return id
}
