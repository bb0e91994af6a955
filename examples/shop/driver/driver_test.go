package driver_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/examples/shop/driver"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/world"
)

func TestMain(m *testing.M) {
	// A package that Watermill's Kafka imports starts this goroutine, and never ends it.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

// The customers walk all paths, also while orders is down for a while. Afterwards the shop's data fit together, and
// what was promised holds.
func TestCustomersWalkAllPathsWhileAServiceIsDown(t *testing.T) {
	w, err := world.Start(t.Context(), world.Config{Log: kittest.Quiet()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections) // the gateway's, to the services
	d := driver.New(driver.Config{
		Gateway: w.Address("gateway"), Stock: w.Address("stock"), Payments: w.Address("payments"),
		Customers: 20, Items: 10, Workers: 4, Seed: 7, Log: kittest.Quiet(),
	})
	t.Cleanup(d.Close)
	require.NoError(t, d.Prepare(t.Context()))

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	await(t, func(c *assert.CollectT) { assert.Greater(c, d.Counts().Accepted, 20) })
	require.NoError(t, w.Stop("orders"))
	before := d.Counts().Retries
	await(t, func(c *assert.CollectT) { assert.Greater(c, d.Counts().Retries, before+5) })
	require.NoError(t, w.StartPart(t.Context(), "orders"))
	await(t, func(c *assert.CollectT) {
		counts := d.Counts()
		assert.Greater(c, counts.Accepted, 100)
		assert.Positive(c, counts.Changed)
		assert.Positive(c, counts.Cancelled)
		assert.Positive(c, counts.Customers)
		assert.Positive(c, counts.Erased)
		assert.Positive(c, counts.Reads)
	})
	stop()
	require.NoError(t, <-ended)

	require.Zero(t, d.Counts().Failed)
	require.Len(t, d.Accepted(), d.Counts().Accepted)
	await(t, func(c *assert.CollectT) {
		rows, err := w.Audit(t.Context())
		require.NoError(c, err)
		for _, row := range rows {
			assert.True(c, row.Holds, "%s: %s", row.Name, row.Figures)
		}
	})
}

func await(t *testing.T, condition func(*assert.CollectT)) {
	t.Helper()
	require.EventuallyWithT(t, condition, kittest.Patience, 100*time.Millisecond)
}
