package rules_test

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/examples/shop/driver"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/relays"
	"github.com/postroom/postroom/examples/shop/rules"
	"github.com/postroom/postroom/examples/shop/world"
)

func TestMain(m *testing.M) {
	// A package that Watermill's Kafka imports starts this goroutine, and never ends it.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

// run is a shop with customers, in which each event is delivered twice, keys change places and services are down for a
// moment.
type run struct {
	t        *testing.T
	world    *world.World
	driver   *driver.Driver
	switches *rules.Switches
}

func start(t *testing.T, off ...rules.Rule) *run {
	t.Helper()
	r := &run{t: t, switches: &rules.Switches{}}
	for _, rule := range off {
		require.NoError(t, r.switches.Set(rule, false))
	}
	faults := &relays.Faults{}
	faults.Duplicate.Store(true)
	faults.Reorder.Store(true)
	var err error
	r.world, err = world.Start(t.Context(), world.Config{Rules: r.switches, Faults: faults, Log: kittest.Quiet()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.world.Close()) })
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections) // the gateway's, to the services
	r.driver = driver.New(driver.Config{
		Gateway: r.world.Address("gateway"), Stock: r.world.Address("stock"), Payments: r.world.Address("payments"),
		Customers: 10, Items: 10, Workers: 4, Seed: 7, Log: kittest.Quiet(),
	})
	t.Cleanup(r.driver.Close)
	require.NoError(t, r.driver.Prepare(t.Context()))
	return r
}

// orders lets the customers act until so many orders were accepted since the start, and waits until all is at rest. It
// returns the rows that do not hold then.
func (r *run) orders(accepted int) map[string]string {
	r.t.Helper()
	ctx, stop := context.WithCancel(r.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.driver.Run(ctx) }()
	for _, part := range []string{"stock", "notifications"} {
		require.NoError(r.t, r.world.Stop(part))
		require.NoError(r.t, r.world.StartPart(ctx, part))
	}
	require.Eventually(r.t, func() bool { return r.driver.Counts().Accepted >= accepted },
		kittest.Patience, 50*time.Millisecond)
	stop()
	require.NoError(r.t, <-ended)
	var broken map[string]string
	require.EventuallyWithT(r.t, func(c *assert.CollectT) {
		broken = r.broken(c)
		assert.NotContains(c, broken, "rest")
	}, kittest.Patience, 100*time.Millisecond)
	return broken
}

func (r *run) broken(t require.TestingT) map[string]string {
	broken := map[string]string{}
	rows, err := r.world.Audit(r.t.Context())
	require.NoError(t, err)
	for _, row := range rows {
		if !row.Holds {
			broken[row.Name] = row.Figures
		}
	}
	return broken
}

// A rule that is switched off breaks the first row that it protects, and no row that it does not protect; switched on
// again and repaired, all rows hold. With all rules the same customers break nothing.
func TestEachRuleIsNeeded(t *testing.T) {
	const step = 40 // orders between two looks
	most := 2 * step
	for _, info := range rules.Infos() {
		t.Run(string(info.Rule), func(t *testing.T) {
			r := start(t, info.Rule)
			accepted := 0
			var broken map[string]string
			for deadline := time.Now().Add(kittest.Patience); broken[info.Protects[0]] == ""; {
				require.True(t, time.Now().Before(deadline), "after %d orders only %v are false", accepted, broken)
				accepted += step
				broken = r.orders(accepted)
			}
			most = max(most, accepted)
			require.Subset(t, info.Protects, slices.Collect(maps.Keys(broken)), "%v", broken)
			t.Logf("after %d orders: %v", accepted, broken)

			require.NoError(t, r.switches.Set(info.Rule, true))
			require.EventuallyWithT(t, func(c *assert.CollectT) {
				require.NoError(c, r.world.Repair(t.Context(), info.Rule))
				assert.Empty(c, r.broken(c))
			}, kittest.Patience, time.Second)
		})
	}
	t.Run("all are on", func(t *testing.T) {
		r := start(t)
		require.Empty(t, r.orders(most))
		t.Logf("after %d orders all rows hold", most)
	})
}
