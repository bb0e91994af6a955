package chaos

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func plan(seed uint64) Plan {
	return Plan{Seed: seed, Relays: 3, LeaseTTL: 1500 * time.Millisecond}
}

func firstMinute(p Plan) (found []Trouble) {
	for t := range p.Troubles() {
		if t.At >= time.Minute {
			break
		}
		found = append(found, t)
	}
	return found
}

func TestASeedGivesTheSameTroubleAndAnotherSeedDoesNot(t *testing.T) {
	require.Equal(t, firstMinute(plan(7)), firstMinute(plan(7)))
	require.NotEqual(t, firstMinute(plan(7)), firstMinute(plan(8)))
}

func TestAMinuteHasRoomForFortyKillsAndPauses(t *testing.T) {
	for seed := range uint64(200) {
		count := map[Kind]int{}
		last := time.Duration(0)
		for _, x := range firstMinute(plan(seed)) {
			count[x.Kind]++
			require.GreaterOrEqual(t, x.At, last)
			last = x.At
			require.Less(t, x.Relay, 3)
			if x.Kind == PauseRelay {
				require.GreaterOrEqual(t, x.For, 1600*time.Millisecond)
				require.LessOrEqual(t, x.For, 3500*time.Millisecond)
			}
		}
		require.GreaterOrEqual(t, count[KillRelay], 42, "seed %d", seed)
		require.GreaterOrEqual(t, count[PauseRelay], 44, "seed %d", seed)
		require.Positive(t, count[KillBroker], "seed %d", seed)
		require.Positive(t, count[RestartBroker], "seed %d", seed)
		require.Positive(t, count[CutRelay], "seed %d", seed)
		require.GreaterOrEqual(t, count[LockTable], 2, "seed %d", seed)
		require.GreaterOrEqual(t, count[LockRow], 4, "seed %d", seed)
		require.GreaterOrEqual(t, count[LockLease], 2, "seed %d", seed)
		require.GreaterOrEqual(t, count[RefusedEvents], 3, "seed %d", seed)
		require.Equal(t, 1, count[BlindOwner], "seed %d", seed)
	}
}

func TestASeedGivesTheSameTransactionsAndNoIDTwice(t *testing.T) {
	p := plan(7)
	seen := map[uuid.UUID]bool{}
	for writer := range 12 {
		for number := range 500 {
			x := p.Transaction(writer, number)
			require.Equal(t, x, p.Transaction(writer, number))
			for _, e := range x.Events {
				require.False(t, seen[e.ID], "writer %d, transaction %d", writer, number)
				seen[e.ID] = true
			}
		}
	}
	require.NotEqual(t, p.Transaction(0, 0), plan(8).Transaction(0, 0))
}

func TestABurstHasEventsOfBothKindsAndNoIDTwice(t *testing.T) {
	p := plan(7)
	seen := map[uuid.UUID]bool{}
	for number := range 20 {
		events := p.Burst(number)
		require.Equal(t, events, p.Burst(number))
		require.Len(t, events, burstEvents)
		var keyless, large int
		for _, e := range events {
			require.False(t, seen[e.ID], "burst %d", number)
			seen[e.ID] = true
			count(&keyless, e.Key < 0)
			count(&large, e.Padding > refusedAbove)
			require.True(t, e.Key < 0 || e.Padding > refusedAbove, "its topic would take it")
		}
		require.Positive(t, keyless)
		require.Positive(t, large)
	}
	require.NotEqual(t, p.Burst(0), plan(8).Burst(0))
}

func TestTransactionsAreOfAllKinds(t *testing.T) {
	p := plan(1)
	const n = 20_000
	var rollbacks, early, plain, long, slow, two, hot, keyless, events int
	for number := range n {
		x := p.Transaction(0, number)
		require.NotEmpty(t, x.Events)
		require.LessOrEqual(t, len(x.Events), 5)
		require.IsIncreasing(t, append([]int{-1}, x.Keys...), "two transactions would lock each other out")
		require.Less(t, x.Keys[len(x.Keys)-1], allKeys)
		require.LessOrEqual(t, x.Hold, 3*time.Second)
		for _, e := range x.Events {
			events++
			require.Less(t, e.Key, len(x.Keys))
			count(&keyless, e.Key < 0)
		}
		count(&rollbacks, x.Rollback)
		count(&early, x.EarlyID)
		count(&plain, x.PlainSQL)
		count(&long, x.Hold > p.LeaseTTL)
		count(&slow, x.Hold > 50*time.Millisecond)
		count(&two, len(x.Keys) == 2)
		count(&hot, x.Keys[0] < hotKeys)
	}
	require.InEpsilon(t, n/10, rollbacks, 0.1)
	require.InEpsilon(t, n/4, early, 0.1)
	require.InEpsilon(t, n/10, plain, 0.1)
	require.InEpsilon(t, n/5, two, 0.1)
	require.InEpsilon(t, 3*n, events, 0.05)
	require.Positive(t, long)
	require.Greater(t, slow, long)
	require.Greater(t, hot, n/4)
	require.Positive(t, keyless)
}

func count(n *int, is bool) {
	if is {
		*n++
	}
}
