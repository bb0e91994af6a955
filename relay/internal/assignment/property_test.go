package assignment

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Processes join, stop and crash. At the end every source has an owner, no process owns two more than
// another, and no source moves any more. Until then no source is free for longer than a lease while a process
// could claim it.
func TestSourcesEndUpEvenlySpreadWhateverHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFleet(t, rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 24).Draw(t, "sources"))
		f.join(f.sources...)
		steps := rapid.IntRange(1, 8).Draw(t, "steps")
		for range steps {
			f.run(time.Duration(rapid.Int64Range(0, int64(3*f.ttl)).Draw(t, "pause")))
			var alive []*fleetProcess
			for _, p := range f.procs {
				if p.alive {
					alive = append(alive, p)
				}
			}
			what := rapid.SampledFrom([]string{"join", "join", "stop", "crash"}).Draw(t, "what")
			if what == "join" || len(alive) == 0 {
				f.join(f.sources...)
				continue
			}
			victim := alive[rapid.IntRange(0, len(alive)-1).Draw(t, "victim")]
			if what == "stop" {
				f.stop(victim)
			} else {
				f.crash(victim)
			}
		}
		if f.serving(f.sources[0]) == 0 {
			f.join(f.sources...)
		}
		f.run(20 * f.ttl)
		settled := f.now
		f.run(20 * f.ttl)
		counts, total := f.owned(), 0
		for _, n := range counts {
			total += n
		}
		require.Equal(t, len(f.sources), total, "every source has an owner: %v", counts)
		require.LessOrEqual(t, spreadOf(counts), 1, "%v", counts)
		require.Zero(t, f.handedSince(settled), "sources that change hands without need")
		require.Less(t, f.idle, f.ttl, "a source was free for so long")
	})
}

// Processes that serve different sources cannot share all of them evenly. But no process may own a source for
// which a process with two fewer waits.
func TestProcessesThatServeDifferentSourcesShareWhatTheyHaveInCommon(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFleet(t, rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 20).Draw(t, "sources"))
		for range rapid.IntRange(2, 5).Draw(t, "processes") {
			var serves []*fleetSource
			for _, s := range f.sources {
				if rapid.Bool().Draw(t, "serves") {
					serves = append(serves, s)
				}
			}
			f.join(serves...)
			f.run(time.Duration(rapid.Int64Range(0, int64(2*f.ttl)).Draw(t, "pause")))
		}
		f.run(200 * f.ttl)
		settled := f.now
		f.run(20 * f.ttl)
		for _, s := range f.sources {
			for _, p := range f.procs {
				for _, r := range p.relays {
					if r.source == s {
						require.NotNil(t, s.owner)
						require.LessOrEqual(t, s.owner.proc.Owned(), p.Owned()+1, "%s", s.name)
					}
				}
			}
		}
		require.Zero(t, f.handedSince(settled), "sources that change hands without need")
	})
}

// With many sources, too, a process that joins gets its share within a few leases, and hardly more sources
// change hands than necessary.
func TestAProcessThatJoinsHasItsShareSoon(t *testing.T) {
	for seed := range uint64(10) {
		f := newFleet(t, seed, 64)
		f.join(f.sources...)
		f.run(5 * f.ttl)
		require.Equal(t, []int{64}, f.owned())
		f.join(f.sources...)
		joined := f.now
		for spreadOf(f.owned()) > 1 {
			f.run(f.ttl / 10)
		}
		require.Less(t, f.now.Sub(joined), 4*f.ttl)
		f.run(10 * f.ttl)
		require.Equal(t, []int{32, 32}, f.owned())
		require.Less(t, f.handedSince(joined), 40, "32 would do")
	}
}

func TestWhenAProcessStopsTheOthersShareItsSourcesAtOnce(t *testing.T) {
	for seed := range uint64(10) {
		f := newFleet(t, seed, 60)
		for range 3 {
			f.join(f.sources...)
		}
		f.run(15 * f.ttl)
		require.Equal(t, []int{20, 20, 20}, f.owned())
		f.idle = 0
		stopped := f.now
		f.stop(f.procs[0])
		f.run(5 * f.ttl)
		require.Less(t, f.idle, f.ttl/4)
		require.Zero(t, f.handedSince(stopped), "nothing has to move after that")
		counts := f.owned()
		require.Equal(t, 60, counts[0]+counts[1])
		require.LessOrEqual(t, spreadOf(counts), 1, "%v", counts)
	}
}
