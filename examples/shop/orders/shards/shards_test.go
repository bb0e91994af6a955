package shards

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func named(n int) (all []Shard) {
	for i := range n {
		all = append(all, Shard{Name: fmt.Sprintf("orders-%d", i)})
	}
	return all
}

const customers = 10_000

func customer(i int) string { return fmt.Sprintf("customer-%d", i) }

func TestEachShardHasItsShareOfTheCustomers(t *testing.T) {
	have := map[string]int{}
	for i := range customers {
		have[Owner(named(4), customer(i)).Name]++
	}
	require.Len(t, have, 4)
	for name, n := range have {
		require.InDelta(t, customers/4, n, customers/40, name)
	}
}

func TestAnAddedShardTakesItsShareAndNobodyMovesBetweenTheOthers(t *testing.T) {
	moves := 0
	for i := range customers {
		before, after := Owner(named(4), customer(i)), Owner(named(5), customer(i))
		if before.Name != after.Name {
			require.Equal(t, "orders-4", after.Name)
			moves++
		}
	}
	require.InDelta(t, customers/5, moves, customers/40)
}

// The naive way, a hash modulo the number of shards.
func TestWithAHashModuloTheNumberOfShardsNearlyAllCustomersMove(t *testing.T) {
	moves := 0
	for i := range customers {
		hash := mix(uint64(i))
		if hash%4 != hash%5 {
			moves++
		}
	}
	require.Greater(t, moves, customers*3/4)
}

func TestTheOwnerDoesNotDependOnTheOrderOfTheShards(t *testing.T) {
	all := named(4)
	turned := []Shard{all[2], all[0], all[3], all[1]}
	for i := range 100 {
		require.Equal(t, Owner(all, customer(i)), Owner(turned, customer(i)))
	}
}
