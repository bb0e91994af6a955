package relay

import (
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Process stands for the operating system process that relays run in. Relays of many
// sources share one: by it the processes compare how many sources each of them owns, and
// spread the sources evenly. It has nothing to close, and is safe for concurrent use.
type Process struct {
	id   uuid.UUID
	host string

	mu       sync.Mutex
	owned    int       // turns under way that are not being handed over
	gained   time.Time // when the last of them began
	blind    int       // relays that cannot reach their sink
	leaving  int       // hand-overs that nobody has claimed yet
	promised map[uuid.UUID]promise
}

// promise is how many sources another process will own once it has claimed what it was
// given. What it tells of itself lags behind for a heartbeat or two.
type promise struct {
	owned int
	until time.Time
}

// NewProcess returns a process with an identity of its own. One for each operating
// system process is enough; see Config.Process.
func NewProcess() *Process {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown" // it is for people to read
	}
	if r := []rune(host); len(r) > 255 {
		host = string(r[:255])
	}
	return &Process{id: uuid.New(), host: host, promised: map[uuid.UUID]promise{}}
}

// ID is what this process is called in the tables named outbox_relays.
func (p *Process) ID() uuid.UUID { return p.id }

// Owned is how many sources the process owns now.
func (p *Process) Owned() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.owned
}

// gain notes that a turn has begun, lose that one has ended without a hand-over.
func (p *Process) gain(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owned++
	p.gained = now
}

func (p *Process) lose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owned--
}

// peers returns the others with what was promised to them.
func (p *Process) peers(others []peer, now time.Time) []peer {
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

// promise notes that heir, which counts as it is in peers, gets one more.
func (p *Process) promise(heir peer, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, old := range p.promised {
		if !until.Before(old.until.Add(time.Hour)) {
			delete(p.promised, id) // of a process that is long gone
		}
	}
	p.promised[heir.id] = promise{owned: heir.owned + 1, until: until}
}

// give begins a hand-over if the surplus allows one more at a time, and no source was
// gained since calm: where this process gained, others may have too, and not told yet.
func (p *Process) give(surplus int, calm time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Half of what is too much at a time: others may be giving to the same newcomer, and
	// each source stands still for a moment.
	if p.gained.After(calm) || p.leaving >= max(1, surplus/2) {
		return false
	}
	p.owned--
	p.leaving++
	return true
}

// wentBlind notes that a relay cannot reach its sink any more, or can again. anyBlind
// makes the others look after theirs.
func (p *Process) wentBlind(blind bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if blind {
		p.blind++
	} else {
		p.blind--
	}
}

func (p *Process) anyBlind() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.blind > 0
}

// evacuate begins a hand-over that is no matter of numbers.
func (p *Process) evacuate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owned--
	p.leaving++
}

// given ends a hand-over: somebody has claimed the source, or nobody wants it.
func (p *Process) given() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaving--
}
