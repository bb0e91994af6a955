package relay

import (
	"context"
	"math/rand/v2"
	"time"
)

// Bounds of the pause between two looks at the open writers while gaps wait for them.
//
// MySQL's list of transactions is a copy that is made anew only when nobody has read it
// for 0.1 s: relays that look at fixed intervals, or a dashboard, keep it old for ever,
// and a look at an old copy tells nothing. So after such a look the next pause is
// longer and random, as on a wire that many share.
const (
	probeEvery       = 50 * time.Millisecond
	probeEveryCached = 250 * time.Millisecond
	probeAtMost      = 4 * time.Second
)

// writerProbe is the schedule of looks at the open writers.
type writerProbe struct {
	cachedList bool // the list is a copy that looking keeps old
	due        time.Time
	pause      time.Duration
}

func newWriterProbe(copied bool) writerProbe {
	l := writerProbe{cachedList: copied}
	l.pause = l.shortest()
	return l
}

func (l *writerProbe) shortest() time.Duration {
	if l.cachedList {
		return probeEveryCached
	}
	return probeEvery
}

// schedule schedules the next look.
func (l *writerProbe) schedule(now time.Time, known bool) {
	if known {
		l.pause = l.shortest()
		l.due = now.Add(l.pause)
		return
	}
	l.pause = min(2*l.pause, probeAtMost)
	l.due = now.Add(l.pause/2 + rand.N(l.pause/2))
}

// probeDue reports whether to look at the open writers.
func (c *cursor) probeDue() bool {
	if c.gaps.crowded() && !c.probe.cachedList {
		return true
	}
	return c.gaps.waiting() && !time.Now().Before(c.probe.due)
}

// probeWriters finds out which gaps can be forgotten. It comes after a read, never during one: a
// writer that took an id which the read missed is still open, or what it wrote is
// visible to the next read.
func (c *cursor) probeWriters(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.relay.cfg.answerTimeout)
	defer cancel()
	w, err := c.relay.store.Writers(ctx)
	c.probe.schedule(time.Now(), err == nil && w.Known)
	if err != nil {
		return err
	}
	c.gaps.observe(w)
	return nil
}
