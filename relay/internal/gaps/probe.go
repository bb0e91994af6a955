package gaps

import (
	"math/rand/v2"
	"time"
)

// Bounds of the pause between two probes of the open writers while gaps wait for them.
//
// MySQL's list of transactions is a copy. The server makes a new one only when nobody has read
// the list for 0.1 s. Relays that ask at fixed intervals, or a dashboard, keep the copy old for
// ever, and an old copy tells nothing. So after an old copy the next pause is longer and
// random, as on a wire that many share.
const (
	probeEvery       = 50 * time.Millisecond
	probeEveryCached = 250 * time.Millisecond
	probeAtMost      = 4 * time.Second
)

// Probe is the schedule by which the relay asks for the open writers.
type Probe struct {
	Cached bool // the list of writers is a copy that asking keeps old
	due    time.Time
	pause  time.Duration
}

// NewProbe returns a schedule whose first probe is due at once. cached: see Probe.
func NewProbe(cached bool) Probe {
	p := Probe{Cached: cached}
	p.pause = p.shortest()
	return p
}

func (p *Probe) shortest() time.Duration {
	if p.Cached {
		return probeEveryCached
	}
	return probeEvery
}

// Due reports whether it is time for the next probe.
func (p *Probe) Due(now time.Time) bool { return !now.Before(p.due) }

// Schedule takes in that a probe has ended. known: the list was new.
func (p *Probe) Schedule(now time.Time, known bool) {
	if known {
		p.pause = p.shortest()
		p.due = now.Add(p.pause)
		return
	}
	p.pause = min(2*p.pause, probeAtMost)
	p.due = now.Add(p.pause/2 + rand.N(p.pause/2))
}
