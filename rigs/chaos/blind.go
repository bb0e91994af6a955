//go:build unix

package chaos

import (
	"context"
	"sync"
	"time"
)

const (
	// blindTries is how many owners are blinded, if an owner loses its lease for another reason. That happens
	// on a machine that is too busy to renew it.
	blindTries = 4
	// blindStart is how long the blow waits for an owner that is at work.
	blindStart = 20 * time.Second
	// blindPatience is how long a blind owner may take to hand over. It does not measure speed: if nothing
	// else happens, the relays need about 20 s.
	blindPatience = 90 * time.Second
)

// blind cuts the owner's connection to Kafka, and leaves those of the other relays, until the owner has
// handed over to another relay. The cut lasts at least as long as the blow says. Until the hand-over the
// plan's clock is stopped, because a hand-over takes longer than relays live if one is killed each second.
func (t *trouble) blind(ctx context.Context, blow Trouble) {
	t.quiet.Add(1)
	loud := sync.OnceFunc(func() { t.quiet.Add(-1) })
	defer loud()
	for range blindTries {
		owner, ok := t.awaitOwner(ctx)
		if !ok {
			t.log.say("trouble", "%s: no relay owns the lease and is at work", blow.Kind)
			return
		}
		if t.blindOwner(ctx, blow, owner, loud) || ctx.Err() != nil {
			return
		}
	}
}

// blindOwner blinds one process. It returns false if the process lost its lease for another reason.
func (t *trouble) blindOwner(ctx context.Context, blow Trouble, owner process, loud func()) bool {
	state, how := wayRefused, "refused"
	if blow.Pick%2 == 0 {
		state, how = waySilent, "silent"
	}
	t.log.say("trouble", "%s %s, the owner: %s", blow.Kind, owner.name, how)
	way := t.servers.ways[owner.number]
	way.set(state)
	defer func() {
		way.set(wayOpen)
		t.log.say("trouble", "%s %s ends", blow.Kind, owner.name)
	}()
	began := time.Now()
	for !t.fleet.takenOver(owner) {
		if time.Since(began) > blindPatience {
			t.count(func(b *Blows) { b.BlindKept++ })
			return true
		}
		if pause(ctx, 50*time.Millisecond); ctx.Err() != nil {
			return false
		}
	}
	took := time.Since(began).Round(time.Millisecond)
	if !t.fleet.handedOver(owner) {
		t.log.say("trouble", "%s %s: its lease was lost after %v", blow.Kind, owner.name, took)
		return false
	}
	t.log.say("trouble", "%s %s: it has handed over after %v", blow.Kind, owner.name, took)
	t.count(func(b *Blows) { b.BlindOwners++ })
	loud()
	pause(ctx, time.Until(began.Add(blow.For)))
	return true
}

// awaitOwner waits for a relay that has owned the lease for two lease lengths. During that time all relays
// must have been up, and so must the broker.
func (t *trouble) awaitOwner(ctx context.Context) (process, bool) {
	var owner process
	since := time.Now()
	for end := since.Add(blindStart); time.Now().Before(end) && ctx.Err() == nil; pause(ctx, 50*time.Millisecond) {
		now, ok := t.fleet.ownerAtWork()
		if !ok || now != owner || t.brokerBusy.Load() || !t.fleet.allStarted() {
			owner, since = now, time.Now()
			continue
		}
		if time.Since(since) > 2*t.settings.LeaseTTL {
			return owner, true
		}
	}
	return owner, false
}

// process is one process of a fleet, during one lease that it holds.
type process struct {
	number, incarnation, claims int
	name                        string
}

// ownerAtWork returns the relay that claimed the lease last, unless it is paused or killed.
func (f *fleet) ownerAtWork() (process, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.owner < 0 {
		return process{}, false
	}
	s := f.slots[f.owner]
	return process{s.number, s.incarnation, f.claims, s.name()}, s.cmd != nil && s.started && !s.stopped && !s.killed
}

// takenOver reports whether another relay has claimed the lease since then.
func (f *fleet) takenOver(from process) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.claims > from.claims && f.owner != from.number
}

// handedOver reports whether the process has logged that it hands over because it cannot reach the broker.
func (f *fleet) handedOver(p process) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.slots[p.number]
	return s.handed && s.incarnation == p.incarnation
}
