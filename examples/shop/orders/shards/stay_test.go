package shards

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/kit/kittest"
)

// patience is enough for a move that nothing keeps waiting.
const patience = 200 * time.Millisecond

func exec(t *testing.T, s Shard, query string, args ...any) {
	t.Helper()
	_, err := s.DB.SQL.ExecContext(t.Context(), s.DB.Bind(query), args...)
	require.NoError(t, err)
}

// The order of a customer may never end: a choreographed one whose answer is lost.
func TestACustomerWhoCannotMoveStaysAndIsServedAgain(t *testing.T) {
	eachCluster(t, func(t *testing.T, c *Cluster) {
		ctx := t.Context()
		c.Patience = patience
		name, from, to := mover(t, c)
		order := "order-of-" + name
		stays := func(reason string) {
			t.Helper()
			moves, err := c.MoveAll(ctx)
			require.NoError(t, err)
			require.Zero(t, moves.Moved)
			require.Len(t, moves.Stayed, 1)
			require.Equal(t, []string{name, from.Name, to.Name}, []string{
				moves.Stayed[0].Customer, moves.Stayed[0].From, moves.Stayed[0].To,
			})
			require.Contains(t, moves.Stayed[0].Reason, reason)
		}
		emptyOutbox(t, from)
		require.NoError(t, write(ctx, c, name, order, 2, Request, false))
		emptyOutbox(t, from)
		stays("an order has not ended")

		require.NoError(t, write(ctx, c, name, order, 3, Request, true), "such as a cancellation")
		stays("events wait in the outbox")
		emptyOutbox(t, from)

		exec(t, from, "INSERT INTO inbox_parked (consumer, message_id, topic, event_key, error) VALUES (?, ?, ?, ?, ?)",
			Consumer, "m1", "stock", order, "no")
		stays("a message is parked")
		exec(t, from, "DELETE FROM inbox_parked")

		exec(t, from, "INSERT INTO customers (id) VALUES (?)", name)
		stays("the new shard does not know the customer yet")
		exec(t, to, "INSERT INTO customers (id) VALUES (?)", name)

		moves, err := c.MoveAll(ctx)
		require.NoError(t, err)
		require.Equal(t, Moves{Moved: 1, Stayed: []Stayed{}}, moves)
		require.EqualValues(t, 3, requireInOrder(t, c.Settled(), name))
	})
}

// The copy has committed, the switch has not, and a process that knows nothing of a move writes in the new shard.
func TestACopyDoesNotDeleteWhatWasWrittenInTheNewShard(t *testing.T) {
	eachCluster(t, func(t *testing.T, c *Cluster) {
		ctx := t.Context()
		c.Patience = patience
		name, from, to := mover(t, c)
		emptyOutbox(t, from)
		require.NoError(t, from.DB.Tx(ctx, func(out *sql.Tx) error {
			return to.DB.Tx(ctx, func(in *sql.Tx) error { return copyAll(ctx, name, from.DB, out, to.DB, in) })
		}))
		require.NoError(t, write(ctx, c.Settled(), name, "accepted-in-the-new-shard", 1, Request, true))

		moves, err := c.MoveAll(ctx)
		require.NoError(t, err)
		require.Len(t, moves.Stayed, 1)
		require.Contains(t, moves.Stayed[0].Reason, "orders were written in both shards")
		var kept int
		require.NoError(t, to.DB.SQL.QueryRowContext(ctx, to.DB.Bind(
			"SELECT COUNT(*) FROM order_events WHERE stream = ?"), "accepted-in-the-new-shard").Scan(&kept))
		require.Equal(t, 1, kept)
		require.NoError(t, write(ctx, c, name, "order-of-"+name, 2, Request, true), "the old shard serves the customer")
	})
}

// A client that hangs up, or a process that stops, must not leave customers whose requests are rejected.
func TestAMoveThatIsCancelledLeavesTheCustomerServed(t *testing.T) {
	eachCluster(t, func(t *testing.T, c *Cluster) {
		name, _, _ := mover(t, c) // an event is in the outbox
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := c.MoveAll(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, write(t.Context(), c, name, "order-of-"+name, 2, Request, true))
	})
}

// Customers of the other shards move.
func TestAShardThatDoesNotAnswerKeepsOnlyItsOwnCustomers(t *testing.T) {
	all := make([]Shard, 5)
	for i := range all {
		all[i] = newShard(t, named(5)[i].Name, kittest.SQLite(t))
	}
	c := &Cluster{All: all, Old: 4, Patience: patience}
	name, from, _ := mover(t, c)
	emptyOutbox(t, from)
	dead := all[0]
	if dead.Name == from.Name {
		dead = all[1]
	}
	require.NoError(t, dead.DB.SQL.Close())
	moves, err := c.MoveAll(t.Context())
	require.NoError(t, err)
	require.Equal(t, Moves{Moved: 1, Stayed: []Stayed{{
		From: dead.Name, Reason: "a database did not do what it was asked for; the log says more",
	}}}, moves)
	require.EqualValues(t, 1, requireInOrder(t, c.Settled(), name))
}
