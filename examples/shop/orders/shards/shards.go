// Package shards spreads customers over databases, and moves them when a database is added.
//
// Every customer lives in one shard, with all orders. Who lives where needs no table: Owner computes it, from the names
// of the shards. When a shard is added, Owner gives it a share of the customers, and changes nothing for the others;
// those that change are moved one by one, while orders are written (move.go).
//
// Each transaction that writes for a customer calls Enter first (fence.go). So a transaction that began before a move
// and commits after it does not exist.
package shards

import (
	"context"
	"database/sql"
	"errors"
	"hash/fnv"
	"time"

	"github.com/postroom/postroom/examples/shop/kit"
)

// Shard is one of the databases.
type Shard struct {
	Name string // the same for ever: who lives here depends on it
	DB   *kit.DB
}

// Cluster is all shards.
type Cluster struct {
	All []Shard
	// Old is how many of All there were before the last ones were added. Until all customers have moved they may live
	// by the old number still. Equal to len(All): nobody moves.
	Old int
	// Patience is how long a move waits for what is under way of a customer. Default: DefaultPatience.
	Patience time.Duration
}

// New returns a cluster in which nobody moves.
func New(all ...Shard) *Cluster { return &Cluster{All: all, Old: len(all)} }

// Grown returns the cluster with one shard more, to which customers have to move: see MoveAll. Every process of the
// service must work with it before the first customer moves.
func (c *Cluster) Grown(added Shard) *Cluster {
	return &Cluster{All: append(c.All[:len(c.All):len(c.All)], added), Old: len(c.All), Patience: c.Patience}
}

// Settled returns the cluster after all customers have moved.
func (c *Cluster) Settled() *Cluster { return New(c.All...) }

// Owner is rendezvous hashing: each shard gets a number from its name and the customer, and the highest one wins. A new
// shard can only win customers for itself. With a hash modulo the number of shards nearly all customers would move.
func Owner(all []Shard, customer string) Shard {
	var owner Shard
	var highest uint64
	for _, s := range all {
		hash := fnv.New64a()
		_, _ = hash.Write([]byte(s.Name + "\x00" + customer))
		if n := mix(hash.Sum64()); owner.Name == "" || n > highest {
			owner, highest = s, n
		}
	}
	return owner
}

// mix spreads the difference of similar names over all bits; FNV alone does not. It is the finalizer of MurmurHash3:
// https://github.com/aappleby/smhasher/blob/master/src/MurmurHash3.cpp
func mix(n uint64) uint64 {
	n = (n ^ n>>33) * 0xff51afd7ed558ccd
	n = (n ^ n>>33) * 0xc4ceb9fe1a85ec53
	return n ^ n>>33
}

// Home returns the shard in which a customer lives now. Enter then finds out whether that is still so.
func (c *Cluster) Home(ctx context.Context, customer string) (Shard, error) {
	to, from := Owner(c.All, customer), Owner(c.All[:c.Old], customer)
	if from.Name == to.Name {
		return to, nil
	}
	var state string
	err := from.DB.Tx(ctx, func(tx *sql.Tx) (err error) {
		state, err = stateOf(ctx, from.DB, tx, customer)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		// Somebody who is not known at the old place begins at the new one. The row says so to all processes at once.
		columns := []string{"customer", "state", "writes"}
		if _, err = from.DB.InsertNew(ctx, tx, table, columns, customer, moved, 0); err != nil {
			return err
		}
		state, err = stateOf(ctx, from.DB, tx, customer)
		return err
	})
	if state == moved {
		return to, err
	}
	return from, err
}
