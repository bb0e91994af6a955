// Package assignment decides which of several relay processes should own which source. It does
// no I/O. The relay gives it the heartbeats of the processes, and the time.
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

// No process is in charge. Each process writes a heartbeat into the tables of each source that it serves. The
// heartbeat says that the process is alive, and how many sources it owns. Each process decides for itself,
// with the heartbeats of the others.
//
//   - The process that owns the fewest sources claims a free one. The others wait, but for no
//     longer than a quarter of a lease: delivery is promised, an even assignment is not.
//   - An owner with more than its quota hands a source over to a process that owns at least two
//     fewer. It drains, deletes, and releases the lease in favour of that process.
//   - Heartbeats are some seconds old, and two owners must not act on the same one. So the quotas
//     add up to the number of sources: of 5 processes with 12 sources, exactly two own three. And
//     an owner keeps a new source for at least the length of a lease.
//
// Only the lease decides who owns a source. The assignment decides who tries to claim it.

// peer is a relay process with the number of sources that it owns.
type peer struct {
	id    uuid.UUID
	owned int
	fresh bool // its heartbeat is so new that it must be alive
}

// quota returns how many sources me should own if all shared their sources evenly. The processes
// that own the most keep the remainder, so that as few sources as possible change hands.
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

// fewest returns the peer that owns the fewest sources. If several peers own equally few, the choice depends
// on the source. Otherwise one of them would get all sources.
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

// Assignment is the assignment of one source, as this process sees it. It is safe for concurrent use.
type Assignment struct {
	member *Member
	source string
	ttl    time.Duration
	Random func(time.Duration) time.Duration // returns less than its argument

	mu            sync.Mutex
	others        []store.Member
	heardAt       time.Time // when their heartbeats were read
	reportedOwned int       // how many sources this process owned by its own last heartbeat

	freeSince time.Time // zero: the lease is held
	standBack time.Time // this process has handed the source over and claims nothing before this time

	termBegan   time.Time
	unevenSince time.Time     // since when another process owns at least two fewer; zero: none does
	patience    time.Duration // after this time without a quota, the source is handed over anyway
	heir        uuid.UUID     // the process to which the term is being handed over
	pending     bool          // handed over, and not known to be claimed yet
}

// New returns the assignment of a source, for a process. ttl is the length of the source's lease.
func New(member *Member, source string, ttl time.Duration) *Assignment {
	return &Assignment{member: member, source: source, ttl: ttl, Random: rand.N[time.Duration]}
}

// HeartbeatEvery is the time between two heartbeats.
func (s *Assignment) HeartbeatEvery() time.Duration { return min(s.ttl/2, 5*time.Second) }

// PollEvery is how often the relay looks at a lease that another process holds.
func (s *Assignment) PollEvery() time.Duration { return min(s.ttl/8, time.Second) }

// Window is how long a process counts as alive after its heartbeat.
func (s *Assignment) Window() time.Duration { return 4 * s.HeartbeatEvery() }

// NoteOthers stores the heartbeats of the other processes. owned is the number that this process has written
// in its own heartbeat.
func (s *Assignment) NoteOthers(others []store.Member, owned int, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.others, s.reportedOwned, s.heardAt = others, owned, now
}

// HeartbeatDue reports whether a heartbeat is due. It is due earlier if the number of owned sources has
// changed, and before a decision.
func (s *Assignment) HeartbeatDue(now time.Time, beforeDecision bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	every := s.HeartbeatEvery()
	if beforeDecision || s.reportedOwned != s.member.Owned() {
		every /= 4
	}
	return s.heardAt.IsZero() || now.Sub(s.heardAt) >= every
}

// peers returns the other processes that are alive. Sources that were promised to them count as theirs.
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

// Wait returns how long to wait before the lease is read again. 0: claim it now.
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

// pollIn returns the time until the lease is read again. It is short if the lease is free, or if
// another process owns so many sources that it is about to hand one over.
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
	s.termBegan, s.unevenSince, s.freeSince, s.standBack, s.heir = now, time.Time{}, time.Time{}, time.Time{}, uuid.Nil
}

// HandOver decides whether this term should end so that another process gets the source.
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
		s.unevenSince = time.Time{}
		return uuid.Nil, false
	}
	if s.unevenSince.IsZero() {
		s.unevenSince, s.patience = now, 3*s.ttl+s.Random(3*s.ttl)
	}
	// If the processes serve different sources, those above their quota may own none of the sources for which
	// the others wait. So after a while an owner within its quota also hands one over.
	surplus := me.owned - quota(me, others)
	if surplus <= 0 && now.Sub(s.unevenSince) < s.patience || !s.member.give(surplus, now.Add(-s.ttl/2)) {
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

// Evacuate decides which process gets this source because the sink cannot be reached from here: the process
// with the fewest sources, if one has a fresh heartbeat.
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

// NextOwner returns the process for which the lease is released: the one that the term is handed over to. If
// this process stops, it is the one with the fewest sources. uuid.Nil: none.
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

// Left notes that this process no longer serves the source.
func (s *Assignment) Left() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	s.others, s.heardAt, s.freeSince, s.standBack = nil, time.Time{}, time.Time{}, time.Time{}
}

// settle ends a pending hand-over.
func (s *Assignment) settle() {
	if s.pending {
		s.pending = false
		s.member.given()
	}
}
