package assignment

import (
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Member is this process, as one of the processes that relay the same sources. All relays of the process
// share it. It is safe for concurrent use.
type Member struct {
	id   uuid.UUID
	host string

	mu          sync.Mutex
	owned       int       // terms that are not being handed over
	gained      time.Time // when the last of these terms began
	unreachable int       // relays that cannot reach their sink
	leaving     int       // sources that were handed over and that nobody has claimed yet
	promised    map[uuid.UUID]promise
}

// promise is how many sources another process will own when it has claimed what this process has handed over
// to it. Its own heartbeat says so only one or two heartbeats later.
type promise struct {
	owned int
	until time.Time
}

// NewMember returns a Member with an id of its own.
func NewMember() *Member {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown" // only people read it
	}
	if r := []rune(host); len(r) > 255 {
		host = string(r[:255])
	}
	return &Member{id: uuid.New(), host: host, promised: map[uuid.UUID]promise{}}
}

// ID is the id of this process in the table outbox_relays.
func (p *Member) ID() uuid.UUID { return p.id }

// Host is the name of this process's host, for people to read.
func (p *Member) Host() string { return p.host }

// Owned is how many sources the process owns now.
func (p *Member) Owned() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.owned
}

// took notes that a term has begun.
func (p *Member) took(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owned++
	p.gained = now
}

// lost notes that a term has ended without a hand-over.
func (p *Member) lost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owned--
}

// peers returns the others. Sources that were promised to them count as theirs.
func (p *Member) peers(others []peer, now time.Time) []peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]peer, len(others))
	for i, o := range others {
		if promised, ok := p.promised[o.id]; ok && now.Before(promised.until) {
			o.owned = max(o.owned, promised.owned)
		}
		all[i] = o
	}
	return all
}

// promise notes that heir gets one source more than it has in peers.
func (p *Member) promise(heir peer, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, old := range p.promised {
		if !until.Before(old.until.Add(time.Hour)) {
			delete(p.promised, id) // of a process that is long gone
		}
	}
	p.promised[heir.id] = promise{owned: heir.owned + 1, until: until}
}

// give begins a hand-over and returns true, unless enough hand-overs are in progress, or this process has
// gained a source after since. In the second case others may have gained one too, and their heartbeats do not
// say so yet.
func (p *Member) give(surplus int, since time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	// At most half of the surplus at a time: others may be handing sources to the same newcomer, and
	// each hand-over stops the delivery of a source for a moment.
	if p.gained.After(since) || p.leaving >= max(1, surplus/2) {
		return false
	}
	p.owned--
	p.leaving++
	return true
}

// NoteReach notes that a relay can no longer reach its sink, or that it can again.
func (p *Member) NoteReach(unreachable bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if unreachable {
		p.unreachable++
	} else {
		p.unreachable--
	}
}

// AnyUnreachable reports whether a relay of this process cannot reach its sink. The other relays then check
// their sinks.
func (p *Member) AnyUnreachable() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unreachable > 0
}

// evacuate always begins a hand-over, because the sink cannot be reached.
func (p *Member) evacuate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owned--
	p.leaving++
}

// given ends a hand-over: a process has claimed the source, or no process wants it.
func (p *Member) given() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaving--
}
