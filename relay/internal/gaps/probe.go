package gaps

import (
	"math/rand/v2"
	"time"
)

// These bound the pause between two probes of the open writers while gaps wait for them.
//
// MySQL's list of transactions is a copy. The server makes a new copy only when nobody has read the list for
// 0.1 s. If relays ask at fixed intervals, or a dashboard does, the server may never make one, and an old
// copy shows nothing. So after an old copy the next pause is longer and random, like the back-off of senders
// on a shared wire.
const (
	probeEvery       = 50 * time.Millisecond
	probeEveryCached = 250 * time.Millisecond
	probeAtMost      = 4 * time.Second
)

// Probe is the schedule by which the relay asks for the open writers.
type Probe struct {
	Cached bool // the list of writers is a copy that stays old while it is read often
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

// Schedule sets the time of the next probe after one has ended. known says that its list was new.
func (p *Probe) Schedule(now time.Time, known bool) {
	if known {
		p.pause = p.shortest()
		p.due = now.Add(p.pause)
		return
	}
	p.pause = min(2*p.pause, probeAtMost)
	p.due = now.Add(p.pause/2 + rand.N(p.pause/2))
}
