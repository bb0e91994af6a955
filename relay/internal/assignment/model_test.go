package assignment

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	store "github.com/postroom/postroom/internal/store/relay"
)

// fleet is a model of relay processes and sources with its own clock. Its databases answer at once, and the
// decisions are the real ones of Assignment.
type fleet struct {
	t       require.TestingT
	rand    *rand.Rand
	ttl     time.Duration
	now     time.Time
	sources []*fleetSource
	procs   []*fleetProcess
	handed  []time.Time   // the times of the hand-overs
	idle    time.Duration // the longest time for which a source was free
	queue   queue
}

type fleetSource struct {
	name    string
	owner   *fleetRelay
	expires time.Time // end of the owner's lease
	heir    uuid.UUID
	members map[uuid.UUID]fleetMember
	free    time.Time // since when it could be claimed; zero: it is held
}

type fleetMember struct {
	owned int
	seen  time.Time
}

type fleetProcess struct {
	*Member
	relays []*fleetRelay
	alive  bool
}

// fleetRelay is one process's relay of one source.
type fleetRelay struct {
	proc   *fleetProcess
	source *fleetSource
	spread *Assignment
	next   time.Time // time of its next action
	renew  time.Time
	drains bool // a hand-over is in progress
}

func newFleet(t require.TestingT, seed uint64, sources int) *fleet {
	f := &fleet{t: t, rand: rand.New(rand.NewPCG(seed, 1)), ttl: 5 * time.Second, now: time.Unix(1e9, 0)}
	for i := range sources {
		f.sources = append(f.sources, &fleetSource{name: fmt.Sprint("s", i), members: map[uuid.UUID]fleetMember{}})
	}
	return f
}

func (f *fleet) random(d time.Duration) time.Duration { return time.Duration(f.rand.Int64N(int64(d))) }

// join starts a process that serves these sources.
func (f *fleet) join(sources ...*fleetSource) *fleetProcess {
	p := &fleetProcess{Member: NewMember(), alive: true}
	for i := range p.id {
		p.id[i] = byte(f.rand.Uint32()) // from the seed, so that a run can be repeated
	}
	for _, s := range sources {
		if f.expire(s); !s.free.IsZero() && f.serving(s) == 0 {
			s.free = f.now // nobody could claim it before
		}
		r := &fleetRelay{proc: p, source: s, spread: New(p.Member, s.name, f.ttl),
			next: f.now.Add(f.random(100 * time.Millisecond))}
		r.spread.Random = f.random
		p.relays = append(p.relays, r)
		heap.Push(&f.queue, r)
	}
	f.procs = append(f.procs, p)
	return p
}

func (f *fleet) crash(p *fleetProcess) { p.alive = false }

// stop ends a process in order.
func (f *fleet) stop(p *fleetProcess) {
	for _, r := range p.relays {
		if r.source.owner == r {
			f.release(r)
		}
		r.spread.Left()
		delete(r.source.members, p.id)
	}
	p.alive = false
	require.Zero(f.t, p.owned)
	require.Zero(f.t, p.leaving)
}

func (f *fleet) release(r *fleetRelay) {
	r.source.heir, r.source.owner, r.source.free = r.spread.NextOwner(f.now), nil, f.now
	r.drains = false
	r.spread.Ended(f.now)
}

func (f *fleet) beat(r *fleetRelay) {
	r.source.members[r.proc.id] = fleetMember{owned: r.proc.Owned(), seen: f.now}
	var others []store.Member
	for id, m := range r.source.members {
		if age := f.now.Sub(m.seen); id != r.proc.id && age <= r.spread.Window() {
			others = append(others, store.Member{ID: id, Owned: m.owned, Age: age})
		}
	}
	r.spread.NoteOthers(others, r.proc.Owned(), f.now)
}

// run advances the clock by d.
func (f *fleet) run(d time.Duration) {
	for end := f.now.Add(d); ; {
		if len(f.queue) == 0 || f.queue[0].next.After(end) {
			f.now = end
			f.checkIdle()
			return
		}
		next := f.queue[0]
		if !next.proc.alive {
			heap.Pop(&f.queue)
			continue
		}
		f.now = next.next
		f.expire(next.source)
		f.act(next)
		heap.Fix(&f.queue, 0)
	}
}

// queue has the relay that acts next at its front.
type queue []*fleetRelay

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].next.Before(q[j].next) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(r any)        { *q = append(*q, r.(*fleetRelay)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

func (f *fleet) expire(s *fleetSource) {
	if s.owner != nil && !f.now.Before(s.expires) {
		s.free, s.owner, s.heir = s.expires, nil, uuid.Nil
	}
}

func (f *fleet) act(r *fleetRelay) {
	s := r.source
	if s.owner != r {
		f.wait(r)
		return
	}
	switch {
	case r.drains:
		f.release(r)
		f.handed = append(f.handed, f.now)
		r.next = f.now.Add(time.Millisecond)
	case !f.now.Before(r.renew):
		s.expires, r.renew = f.now.Add(f.ttl), f.now.Add(f.ttl/3)
		r.next = f.now.Add(f.random(f.ttl / 3))
	default:
		f.beat(r)
		r.next = r.renew
		if _, ok := r.spread.HandOver(f.now); ok {
			r.drains, r.next = true, f.now.Add(f.random(500*time.Millisecond))
		}
	}
}

func (f *fleet) wait(r *fleetRelay) {
	s := r.source
	if r.spread.HeartbeatDue(f.now, false) {
		f.beat(r)
	}
	lease := store.LeaseState{Free: s.owner == nil, Heir: s.heir}
	wait := r.spread.Wait(lease, f.now)
	if wait == 0 && r.spread.HeartbeatDue(f.now, true) {
		f.beat(r)
		wait = r.spread.Wait(lease, f.now)
	}
	r.next = f.now.Add(wait)
	if wait > 0 {
		return
	}
	require.True(f.t, lease.Free, "claimed what is held")
	if !s.free.IsZero() {
		f.idle = max(f.idle, f.now.Sub(s.free))
	}
	s.owner, s.expires, s.free, s.heir = r, f.now.Add(f.ttl), time.Time{}, uuid.Nil
	r.spread.Began(f.now)
	r.renew, r.next = f.now.Add(f.ttl/3), f.now.Add(f.random(f.ttl/3))
}

// checkIdle fails if a source was free for longer than a lease while a process was alive.
func (f *fleet) checkIdle() {
	for _, s := range f.sources {
		f.expire(s)
		if s.owner == nil && f.serving(s) > 0 && !s.free.IsZero() {
			f.idle = max(f.idle, f.now.Sub(s.free))
		}
	}
}

func (f *fleet) serving(s *fleetSource) (n int) {
	for _, p := range f.procs {
		for _, r := range p.relays {
			if p.alive && r.source == s {
				n++
			}
		}
	}
	return n
}

// owned returns how many sources each live process owns.
func (f *fleet) owned() (counts []int) {
	for _, p := range f.procs {
		if !p.alive {
			continue
		}
		n := 0
		for _, s := range f.sources {
			if s.owner != nil && s.owner.proc == p && !s.owner.drains {
				n++
			}
		}
		require.Equal(f.t, n, p.Owned(), "what it tells of itself")
		counts = append(counts, n)
	}
	return counts
}

func spreadOf(counts []int) int {
	if len(counts) == 0 {
		return 0
	}
	least, most := counts[0], counts[0]
	for _, n := range counts {
		least, most = min(least, n), max(most, n)
	}
	return most - least
}

// handedSince returns how many hand-overs there were since then.
func (f *fleet) handedSince(then time.Time) (n int) {
	for _, at := range f.handed {
		if at.After(then) {
			n++
		}
	}
	return n
}
