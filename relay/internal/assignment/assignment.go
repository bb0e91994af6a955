// Package assignment decides which of several relay processes should own which source. It does
// no I/O: the relay tells it what the processes say of themselves, and what time it is.
package assignment

import (
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	store "github.com/postroom/postroom/internal/store/relay"
)

// How sources are assigned to relay processes. There is nobody in charge: each process
// tells, in the tables of each source that it serves, that it is alive and how many
// sources it owns, and decides by what the others tell there.
//
//   - A free source is claimed by the process that owns fewest. The others hold back,
//     for a quarter of a lease at the most: an even assignment is a wish, delivery is the promise.
//   - An owner with more than its quota hands a source to one that has at least two
//     fewer: it drains, deletes, and releases the lease in that process's favour.
//   - What the others tell is some seconds old. So that two owners do not both act on
//     it, the quotas add up: with 12 sources and 5 processes exactly two own three. And a
//     source that has just changed hands stays for a lease's length.
//
// None of it decides who owns a source: that is the lease's alone.

// peer is a relay process with the number of sources that it owns.
type peer struct {
	id    uuid.UUID
	owned int
	fresh bool // seen so lately that it surely lives
}

// quota is how many sources me should own when it and the others shared theirs evenly.
// Those with most keep the odd ones, so that as few as possible change hands.
func quota(me peer, others []peer) int {
	total, ahead := me.owned, 0
	for _, o := range others {
		total += o.owned
		if o.owned > me.owned || o.owned == me.owned && o.id.String() < me.id.String() {
			ahead++
		}
	}
	q := total / (len(others) + 1)
	if ahead < total%(len(others)+1) {
		q++
	}
	return q
}

// fewest returns the peer that owns fewest. Of several, which one differs from source
// to source, or the first of them would be given all.
func fewest(source string, peers []peer) (peer, bool) {
	if len(peers) == 0 {
		return peer{}, false
	}
	return slices.MinFunc(peers, func(a, b peer) int {
		if a.owned != b.owned {
			return a.owned - b.owned
		}
		if rank(source, a.id) < rank(source, b.id) {
			return -1
		}
		return 1
	}), true
}

func rank(source string, id uuid.UUID) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(source)) // never fails
	_, _ = h.Write(id[:])
	return h.Sum64()
}

// Assignment is the assignment of one source, as this process sees it. It does no I/O and is given
// the time. It is safe for concurrent use.
type Assignment struct {
	member *Member
	source string
	ttl    time.Duration
	Random func(time.Duration) time.Duration // below its argument

	mu            sync.Mutex
	others        []store.Member
	heardAt       time.Time // when others was heard of
	reportedOwned int       // how many sources they believe this process owns

	freeSince time.Time // zero: the lease is held
	standBack time.Time // until then others go first: they were given the source

	termBegan time.Time // began then
	uneven    time.Time // since then somebody owns fewer by two or more; zero: nobody
	patient   time.Duration
	heir      uuid.UUID // to which the term is being handed over
	pending   bool      // handed over, and not claimed yet as far as is known
}

// New returns one source's part in the assignment. ttl is that of the source's lease.
func New(proc *Member, source string, ttl time.Duration) *Assignment {
	return &Assignment{member: proc, source: source, ttl: ttl, Random: rand.N[time.Duration]}
}

// HeartbeatEvery is the time between two heartbeats.
func (s *Assignment) HeartbeatEvery() time.Duration { return min(s.ttl/2, 5*time.Second) }

// PollEvery is how often the relay looks at a lease that another process holds.
func (s *Assignment) PollEvery() time.Duration { return min(s.ttl/8, time.Second) }

// Window is for how long a process counts as live after it was seen.
func (s *Assignment) Window() time.Duration { return 4 * s.HeartbeatEvery() }

// NoteOthers notes which other processes are alive, and what they were told.
func (s *Assignment) NoteOthers(others []store.Member, told int, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.others, s.reportedOwned, s.heardAt = others, told, now
}

// HeartbeatDue reports whether a heartbeat is due: sooner if there is news to tell, or before
// something is decided by what the others told.
func (s *Assignment) HeartbeatDue(now time.Time, before bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	every := s.HeartbeatEvery()
	if before || s.reportedOwned != s.member.Owned() {
		every /= 4
	}
	return s.heardAt.IsZero() || now.Sub(s.heardAt) >= every
}

// peers returns the others that live, with what is about to become theirs.
func (s *Assignment) peers(now time.Time) []peer {
	since := now.Sub(s.heardAt)
	var all []peer
	for _, m := range s.others {
		if age := max(m.Age, 0) + since; age <= s.Window() {
			all = append(all, peer{id: m.ID, owned: m.Owned, fresh: age <= s.HeartbeatEvery()*2})
		}
	}
	return s.member.peers(all, now)
}

func (s *Assignment) me() peer { return peer{id: s.member.id, owned: s.member.Owned()} }

// Wait says after a look at the lease how long to wait for the next one. 0: claim now.
func (s *Assignment) Wait(lease store.LeaseState, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	others := s.peers(now)
	if !lease.Free {
		s.freeSince, s.standBack = time.Time{}, time.Time{}
		s.settle()
		return s.pollIn(others)
	}
	if s.freeSince.IsZero() {
		s.freeSince = now
	}
	held := s.freeSince.Add(s.ttl / 4)
	if s.standBack.After(held) {
		held = s.standBack
	}
	if len(others) == 0 || !now.Before(held) || s.first(lease.Heir, others) && !now.Before(s.standBack) {
		return 0
	}
	return max(time.Millisecond, min(held.Sub(now), s.pollIn(others)))
}

// first reports whether this process may claim before the others.
func (s *Assignment) first(heir uuid.UUID, others []peer) bool {
	if heir == s.member.id {
		return true
	}
	if slices.ContainsFunc(others, func(o peer) bool { return o.id == heir }) {
		return false
	}
	me := s.me()
	next, _ := fewest(s.source, append(others, me))
	return next.id == me.id
}

// pollIn is the time to the next look: short when others own so many that one of theirs
// is about to be handed over, or when the lease is free.
func (s *Assignment) pollIn(others []peer) time.Duration {
	wait := s.PollEvery()
	owned := s.me().owned
	if !s.freeSince.IsZero() || slices.ContainsFunc(others, func(o peer) bool { return o.owned >= owned+2 }) {
		wait = min(s.ttl/16, wait)
	}
	return wait/2 + s.Random(wait/2+1)
}

// Began notes that a term has begun.
func (s *Assignment) Began(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	s.member.took(now)
	s.termBegan, s.uneven, s.freeSince, s.standBack, s.heir = now, time.Time{}, time.Time{}, time.Time{}, uuid.Nil
}

// HandOver decides whether this term is to end in favour of another process.
func (s *Assignment) HandOver(now time.Time) (heir uuid.UUID, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heir != uuid.Nil || now.Sub(s.termBegan) < s.ttl {
		return uuid.Nil, false
	}
	others := s.peers(now)
	least, ok := fewest(s.source, slices.DeleteFunc(slices.Clone(others), func(o peer) bool { return !o.fresh }))
	me := s.me()
	if !ok || me.owned < least.owned+2 {
		s.uneven = time.Time{}
		return uuid.Nil, false
	}
	if s.uneven.IsZero() {
		s.uneven, s.patient = now, 3*s.ttl+s.Random(3*s.ttl)
	}
	// Where processes serve different sources, those over their quota may have none that
	// the others wait for. After a while whoever has one gives it.
	surplus := me.owned - quota(me, others)
	if surplus <= 0 && now.Sub(s.uneven) < s.patient || !s.member.give(surplus, now.Add(-s.ttl/2)) {
		return uuid.Nil, false
	}
	s.member.promise(least, now.Add(s.ttl))
	s.heir = least.id
	return least.id, true
}

// OthersHeard reports whether another process is alive.
func (s *Assignment) OthersHeard(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.peers(now)) > 0
}

// Evacuate ends this term in favour of the process with fewest sources, if there is one
// that surely lives.
func (s *Assignment) Evacuate(now time.Time) (heir uuid.UUID, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heir != uuid.Nil {
		return uuid.Nil, false
	}
	least, ok := fewest(s.source, slices.DeleteFunc(s.peers(now), func(o peer) bool { return !o.fresh }))
	if !ok {
		return uuid.Nil, false
	}
	s.member.evacuate()
	s.member.promise(least, now.Add(s.ttl))
	s.heir = least.id
	return least.id, true
}

// NextOwner says in whose favour the lease is released: that of the hand-over, or of
// the process with fewest if this one stops.
func (s *Assignment) NextOwner(now time.Time) uuid.UUID {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heir == uuid.Nil {
		if least, ok := fewest(s.source, s.peers(now)); ok {
			s.member.promise(least, now.Add(s.ttl))
			return least.id
		}
	}
	return s.heir
}

// Ended notes that the term has ended.
func (s *Assignment) Ended(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heir == uuid.Nil {
		s.member.lost()
		return
	}
	s.heir, s.pending = uuid.Nil, true
	s.standBack = now.Add(s.ttl / 2)
}

// Left notes that this source is not served any more.
func (s *Assignment) Left() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	s.others, s.heardAt, s.freeSince, s.standBack = nil, time.Time{}, time.Time{}, time.Time{}
}

func (s *Assignment) settle() {
	if s.pending {
		s.pending = false
		s.member.given()
	}
}
