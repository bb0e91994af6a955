package gaps

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// copiedList is a server's copy of its list of transactions, like InnoDB's: a probe refreshes it only if
// nobody has read it for 0.1 s (trx0i_s.cc).
type copiedList struct{ read time.Time }

func (c *copiedList) look(now time.Time) (anew bool) {
	anew = now.Sub(c.read) > 100*time.Millisecond
	c.read = now
	return anew
}

// Relays of many sources share a server and do not know one another. Each of them must get a new copy now and
// then. At fixed intervals they would keep the copy old without end.
func TestRelaysThatShareAServerLeaveOneAnotherTimeToLook(t *testing.T) {
	const relays, lasts = 16, 2 * time.Minute
	simulate := func(ended func(l *Probe, now time.Time, known bool)) (worst int) {
		server := &copiedList{}
		begin := time.Now()
		all := make([]Probe, relays)
		known := make([]int, relays)
		for i := range all {
			all[i] = NewProbe(true)
			all[i].due = begin.Add(time.Duration(i) * 17 * time.Millisecond)
		}
		for now := begin; now.Sub(begin) < lasts; now = now.Add(time.Millisecond) {
			for i := range all {
				if now.Before(all[i].due) {
					continue
				}
				anew := server.look(now)
				if anew {
					known[i]++
				}
				ended(&all[i], now, anew)
			}
		}
		worst = known[0]
		for _, n := range known {
			worst = min(worst, n)
		}
		return worst
	}
	fixed := simulate(func(l *Probe, now time.Time, _ bool) { l.due = now.Add(probeEveryCached) })
	require.Zero(t, fixed, "the naive schedule: the copy is never new")
	backingOff := simulate((*Probe).Schedule)
	require.Greater(t, backingOff, 5, "looks at a new copy in %v, of the relay that had the fewest", lasts)
}
