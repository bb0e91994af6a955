package shards

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/postroom/postroom/examples/shop/kit"
)

// Moves is what MoveAll has done.
type Moves struct {
	Moved  int      `json:"moved"`
	Stayed []Stayed `json:"stayed"`
}

// Stayed is a customer who still has to move.
type Stayed struct {
	Customer string `json:"customer,omitempty"` // empty: it is not known who lives in From
	From     string `json:"from"`
	To       string `json:"to,omitempty"`
	Reason   string `json:"reason"`
}

// DefaultPatience is how long a move waits for what is under way. A step of a saga that gets no answer is tried for as
// long.
const DefaultPatience = 30 * time.Second

const (
	lookEvery = 20 * time.Millisecond // how often a move looks whether what is under way has ended
	together  = 4                     // how many customers move at the same time
)

// MoveAll moves every customer that the added shards have won, and tells who did not move and why: something of them
// was under way for longer than c.Patience, or a database did not answer. Call it again until nobody has stayed, also
// after the process died in it. New customers begin in the right place already, so that there is an end.
func (c *Cluster) MoveAll(ctx context.Context) (Moves, error) {
	moves := Moves{Stayed: []Stayed{}}
	var mu sync.Mutex
	var moving errgroup.Group
	moving.SetLimit(together)
	stay := func(ctx context.Context, s Stayed, err error) {
		mu.Lock()
		defer mu.Unlock()
		s.Reason = reasonOf(err)
		slog.WarnContext(ctx, "a customer does not move", "customer", s.Customer, "from", s.From, "error", err)
		moves.Stayed = append(moves.Stayed, s)
	}
	for _, from := range c.All[:c.Old] {
		customers, err := livingIn(ctx, from.DB)
		if err != nil {
			stay(ctx, Stayed{From: from.Name}, err)
			continue
		}
		for _, customer := range customers {
			to := Owner(c.All, customer)
			if to.Name == from.Name {
				continue
			}
			moving.Go(func() error {
				if err := c.move(ctx, customer, from.DB, to.DB); err != nil {
					stay(ctx, Stayed{Customer: customer, From: from.Name, To: to.Name}, err)
					return nil
				}
				mu.Lock()
				defer mu.Unlock()
				moves.Moved++
				return nil
			})
		}
	}
	return moves, errors.Join(moving.Wait(), ctx.Err())
}

// CheckSettled returns an error if nobody is to move, and somebody lives in another shard than Owner says: a process
// that does not look there would begin orders of the customer in the wrong place.
func (c *Cluster) CheckSettled(ctx context.Context) error {
	if c.Old != len(c.All) {
		return nil
	}
	for _, s := range c.All {
		customers, err := livingIn(ctx, s.DB)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		for _, customer := range customers {
			if to := Owner(c.All, customer).Name; to != s.Name {
				return fmt.Errorf("customer %s has to move from %s to %s: start orders with the number of old shards, "+
					"and send POST /shards/moves until nobody has stayed", customer, s.Name, to)
			}
		}
	}
	return nil
}

// reasonOf is what a client may read: an error of a database may have addresses in it.
func reasonOf(err error) string {
	var busy busyError
	switch {
	case errors.As(err, &busy):
		return string(busy)
	case errors.Is(err, errBoth):
		return errBoth.Error()
	}
	return "a database did not do what it was asked for; the log says more"
}

func livingIn(ctx context.Context, db *kit.DB) ([]string, error) {
	rows, err := db.SQL.QueryContext(ctx,
		db.Bind("SELECT customer FROM "+table+" WHERE state <> ? ORDER BY customer"), moved)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var customers []string
	for rows.Next() {
		var customer string
		if err := rows.Scan(&customer); err != nil {
			return nil, err
		}
		customers = append(customers, customer)
	}
	return customers, rows.Err()
}

// move moves one customer: nothing new begins, what is under way ends, then the rows go over. Requests are rejected for
// so long. If it takes too long, they are accepted again, and the customer stays: an order that got no answer may
// need somebody who cancels it.
func (c *Cluster) move(ctx context.Context, customer string, from, to *kit.DB) error {
	err := c.moveWhenIdle(ctx, customer, from, to)
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, setState(ctx, from, customer, draining, active))
}

func (c *Cluster) moveWhenIdle(ctx context.Context, customer string, from, to *kit.DB) error {
	patience := c.Patience
	if patience == 0 {
		patience = DefaultPatience
	}
	enough := time.After(patience)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		// Each time, because another process that moves customers may have lost its patience.
		if err := setState(ctx, from, customer, active, draining); err != nil {
			return err
		}
		err := underWay(ctx, customer, from, from.SQL, to)
		if err == nil {
			err = goOver(ctx, customer, from, to)
		}
		if busy := busyError(""); !errors.As(err, &busy) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-enough:
			return err
		case <-tick.C:
		}
	}
}

func setState(ctx context.Context, db *kit.DB, customer, before, after string) error {
	_, err := db.SQL.ExecContext(ctx, db.Bind(
		"UPDATE "+table+" SET state = ? WHERE customer = ? AND state = ?"), after, customer, before)
	return err
}

// goOver copies the customer's rows and switches, if nothing is under way. Both are one transaction of the old shard,
// which holds the customer's row: nobody writes between copy and switch. The new shard commits first. If the process
// dies then, the old shard still has the customer, and the next goOver copies again.
func goOver(ctx context.Context, customer string, from, to *kit.DB) error {
	return from.Tx(ctx, func(out *sql.Tx) error {
		result, err := out.ExecContext(ctx, from.Bind(
			"UPDATE "+table+" SET state = ? WHERE customer = ? AND state = ?"), moved, customer, draining)
		if err != nil {
			return err
		}
		if rows, err := result.RowsAffected(); err != nil || rows == 0 {
			return errors.Join(err, movedAlready(ctx, customer, from, out))
		}
		if err := underWay(ctx, customer, from, out, to); err != nil {
			return err // rolls back: the customer is draining again
		}
		if err := to.Tx(ctx, func(in *sql.Tx) error { return copyAll(ctx, customer, from, out, to, in) }); err != nil {
			return err
		}
		return remove(ctx, customer, from, out)
	})
}

// movedAlready tells why there was nothing to switch.
func movedAlready(ctx context.Context, customer string, from *kit.DB, out *sql.Tx) error {
	state, err := stateOf(ctx, from, out, customer)
	if err == nil && state != moved {
		return busyError("another process has stopped the move")
	}
	return err
}
