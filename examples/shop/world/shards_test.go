package world_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/driver"
	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/orders/shards"
	"github.com/postroom/postroom/examples/shop/world"
)

func TestAShardIsAddedWhileCustomersOrder(t *testing.T) {
	t.Parallel()
	requireShardIsAdded(t, start(t, world.Config{}))
}

// requireShardIsAdded adds a shard while customers order. Nothing of a customer is lost, doubled or out of order, and
// each shard has its own customers.
func requireShardIsAdded(t *testing.T, w *world.World) {
	t.Helper()
	crowd := driver.New(driver.Config{
		Gateway: w.Address("gateway"), Stock: w.Address("stock"), Payments: w.Address("payments"),
		Customers: 20, Rate: 5, Log: kittest.Quiet(),
	})
	defer crowd.Close()
	require.NoError(t, crowd.Prepare(t.Context()))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- crowd.Run(ctx) }()
	require.Eventually(t, func() bool { return crowd.Counts().Accepted >= 20 }, kittest.Patience, 50*time.Millisecond)
	before := crowd.Counts().Accepted
	require.NoError(t, w.AddShard(t.Context()))
	during := crowd.Counts().Accepted - before
	require.Positive(t, during, "nobody ordered meanwhile")
	require.Eventually(t, func() bool {
		return crowd.Counts().Accepted >= before+during+10
	}, kittest.Patience, 50*time.Millisecond)
	stop()
	require.NoError(t, <-ended)
	requireAllHolds(t, w)
	requireHomes(t, w, crowd.Accepted())
	t.Logf("%d orders were accepted while the customers moved, of %d", during, crowd.Counts().Accepted)
	require.NoError(t, w.AddShard(t.Context()), "again: there is nothing to do")
}

// requireHomes finds each accepted order in the home of its customer, once, and its events in order on the topic.
func requireHomes(t *testing.T, w *world.World, accepted []string) {
	t.Helper()
	var all []shards.Shard
	for name, url := range w.Databases {
		if strings.HasPrefix(name, "orders_") {
			all = append(all, shards.Shard{Name: name, DB: kittest.Open(t, url)})
		}
	}
	require.Len(t, all, 5)
	found, written := map[string]bool{}, 0
	for _, s := range all {
		rows, err := s.DB.SQL.QueryContext(t.Context(), "SELECT stream, customer, version FROM order_streams")
		require.NoError(t, err)
		for rows.Next() {
			var order, customer string
			var version int
			require.NoError(t, rows.Scan(&order, &customer, &version))
			require.Equal(t, shards.Owner(all, customer).Name, s.Name)
			require.False(t, found[order], "order %s is in two shards", order)
			found[order] = true
			written += version
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
	}
	for _, order := range accepted {
		require.True(t, found[order], "order %s was accepted, and is lost", order)
	}
	last, seen := map[string]int64{}, map[string]bool{}
	for n := written; len(seen) < written; n++ { // with copies, there are more than were written
		clear(last)
		clear(seen)
		for _, e := range kittest.Events(t, w.Kafka, events.Orders, n) {
			if seen[e.ID] {
				continue
			}
			seen[e.ID] = true
			var body struct{ Version int64 }
			require.NoError(t, json.Unmarshal(e.Body, &body))
			require.Equal(t, last[e.Key]+1, body.Version, "order %s", e.Key)
			last[e.Key] = body.Version
		}
	}
}
