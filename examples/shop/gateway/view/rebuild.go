package view

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/postroom/postroom/examples/shop/gateway/cache"
)

// The states of a generation.
const (
	building = "building" // it reads the topics from their beginning
	live     = "live"     // requests are answered from it
	retired  = "retired"  // nobody reads or writes it any more
	deleted  = "deleted"  // and its rows are gone
)

// look is how often the generations are looked at: another gateway may have begun a rebuild.
const look = 200 * time.Millisecond

// Run fills the generations until ctx ends, switches to one that is built, and deletes the one before it. Run it in as
// many gateways as you like: they share the partitions.
func (m *Model) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	running := map[int64]context.CancelFunc{}
	said := "" // the last error: the same one is logged once
	for ctx.Err() == nil {
		err := m.step(ctx, group, running)
		if err == nil {
			said = ""
		} else if err.Error() != said && ctx.Err() == nil {
			said = err.Error()
			m.log.WarnContext(ctx, "the generations of the read model", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(look):
		}
	}
	for _, stop := range running {
		stop()
	}
	return group.Wait()
}

// step does what the states of the generations ask for.
func (m *Model) step(ctx context.Context, group *errgroup.Group, running map[int64]context.CancelFunc) error {
	all, err := m.Generations(ctx)
	if err != nil {
		return err
	}
	for _, g := range all {
		stop, runs := running[g.Number]
		filled := g.State == building || g.State == live
		switch {
		case filled && !runs:
			own, stop := context.WithCancel(ctx)
			running[g.Number] = stop
			group.Go(func() error { return m.fill(own, g.Number) })
		case !filled && runs:
			stop()
			delete(running, g.Number)
		case g.State == building:
			if _, failed := m.Switch(ctx, g.Number); failed != nil {
				err = errors.Join(err, fmt.Errorf("switch to generation %d: %w", g.Number, failed))
			}
		}
	}
	return errors.Join(err, m.DeleteRetired(ctx))
}

func (m *Model) fill(ctx context.Context, generation int64) error {
	consumer, err := m.consumer(generation)
	if err != nil {
		return err
	}
	return consumer.RunBatch(ctx, m.project(generation))
}

// Generation is one copy of the whole model.
type Generation struct {
	Number int64  `json:"generation"`
	State  string `json:"state"` // building, live, retired, deleted
}

// Generations returns all that there are and were, the oldest first.
func (m *Model) Generations(ctx context.Context) (all []Generation, err error) {
	rows, err := m.db.SQL.QueryContext(ctx, "SELECT generation, state FROM view_generations ORDER BY generation")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var g Generation
		if err := rows.Scan(&g.Number, &g.State); err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, rows.Err()
}

// ErrBuilding means that a new generation is being built already.
var ErrBuilding = errors.New("a new generation of the read model is being built already")

// Rebuild begins a new generation and returns its number. The gateways fill it from the beginning of the topics, and
// switch to it when it has caught up. The topics must still have all events.
func (m *Model) Rebuild(ctx context.Context) (generation int64, err error) {
	all, err := m.Generations(ctx)
	if err != nil {
		return 0, err
	}
	last := all[len(all)-1]
	if last.State == building {
		return 0, ErrBuilding
	}
	// Of two calls at the same time one fails, by the primary key.
	_, err = m.db.SQL.ExecContext(ctx, m.db.Bind("INSERT INTO view_generations (generation, state) VALUES (?, ?)"),
		last.Number+1, building)
	return last.Number + 1, err
}

// Live returns the number of the live generation.
func (m *Model) Live(ctx context.Context) (generation int64, err error) {
	row := m.db.SQL.QueryRowContext(ctx, "SELECT generation FROM view_generations WHERE state = 'live'")
	err = row.Scan(&generation)
	return generation, err
}

// Switch makes a generation the live one if it has caught up, and tells whether it did. Requests notice nothing: the
// new one has all that they could have seen.
func (m *Model) Switch(ctx context.Context, to int64) (done bool, err error) {
	from, err := m.Live(ctx)
	if err != nil || from == to {
		return false, err // another gateway was faster
	}
	// First without a lock, because it takes long until the answer is yes.
	if ready, err := m.caughtUp(ctx, m.db.SQL, from, to); err != nil || !ready {
		return false, err
	}
	err = m.db.Tx(ctx, func(tx *sql.Tx) error {
		done = false
		// Who fills the live generation has a shared lock on this row, and so it stands still until the commit.
		var state string
		err := tx.QueryRowContext(ctx, m.db.Bind(
			"SELECT state FROM view_generations WHERE generation = ?"+m.db.ForUpdate()), from).Scan(&state)
		if err != nil {
			return err
		}
		ready, err := m.caughtUp(ctx, tx, from, to)
		if err != nil || !ready || state != live {
			return err
		}
		for generation, state := range map[int64]string{from: retired, to: live} {
			if _, err := tx.ExecContext(ctx, m.db.Bind("UPDATE view_generations SET state = ? WHERE generation = ?"),
				state, generation); err != nil {
				return err
			}
		}
		done = true
		// What the cache has was made of the old one, and so would stay valid for ever.
		return m.raise(ctx, cache.Versions{theView: to})
	})
	return done && err == nil, err
}

// caughtUp tells whether a generation has reached all that another has. A message that the other has handled, and this
// one has not, is an error: it would be missing after the switch.
func (m *Model) caughtUp(ctx context.Context, q queryer, from, to int64) (bool, error) {
	of, err := m.positions(ctx, q, from)
	if err != nil {
		return false, err
	}
	reached, err := m.positions(ctx, q, to)
	if err != nil {
		return false, err
	}
	for partition, next := range of {
		if reached[partition] < next {
			return false, nil
		}
	}
	var parked int
	err = q.QueryRowContext(ctx, m.db.Bind(`SELECT COUNT(*) FROM inbox_parked p WHERE p.consumer = ? AND NOT EXISTS (
		SELECT 1 FROM inbox_parked o WHERE o.consumer = ? AND o.topic = p.topic AND o.message_id = p.message_id)`),
		m.consumerName(to), m.consumerName(from)).Scan(&parked)
	if err == nil && parked > 0 {
		err = fmt.Errorf("it has parked %d messages that generation %d has handled: see `relay inbox parked list`",
			parked, from)
	}
	return err == nil, err
}

// queryer is a *sql.DB or a *sql.Tx.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (m *Model) positions(ctx context.Context, q queryer, generation int64) (map[string]int64, error) {
	rows, err := q.QueryContext(ctx, m.db.Bind(`SELECT kafka_topic, kafka_partition, next_offset FROM inbox_offsets
		WHERE consumer = ? AND next_offset IS NOT NULL`),
		m.consumerName(generation))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	positions := map[string]int64{}
	for rows.Next() {
		var topic string
		var partition, next int64
		if err := rows.Scan(&topic, &partition, &next); err != nil {
			return nil, err
		}
		positions[fmt.Sprintf("%s/%d", topic, partition)] = next
	}
	return positions, rows.Err()
}

// DeleteRetired deletes the rows of generations that nobody reads any more, with all that they know of people.
func (m *Model) DeleteRetired(ctx context.Context) error {
	all, err := m.Generations(ctx)
	for _, g := range all {
		if g.State != retired {
			continue
		}
		err = errors.Join(err, m.db.Tx(ctx, func(tx *sql.Tx) error { return m.deleteOne(ctx, tx, g.Number) }))
	}
	return err
}

func (m *Model) deleteOne(ctx context.Context, tx *sql.Tx, generation int64) error {
	// This waits for who still fills the generation, in this gateway or in another. Whoever comes later sees the state.
	if _, err := tx.ExecContext(ctx, m.db.Bind("UPDATE view_generations SET state = ? WHERE generation = ?"),
		deleted, generation); err != nil {
		return err
	}
	for _, table := range []string{"order_view", "customer_orders", "customer_view", "order_timeline"} {
		if _, err := tx.ExecContext(ctx, m.db.Bind("DELETE FROM "+table+" WHERE generation = ?"),
			generation); err != nil {
			return err
		}
	}
	// Parked messages have names and addresses, too.
	for _, table := range []string{"inbox_parked", "inbox_blocked", "inbox_events"} {
		if _, err := tx.ExecContext(ctx, m.db.Bind("DELETE FROM "+table+" WHERE consumer = ?"),
			m.consumerName(generation)); err != nil {
			return err
		}
	}
	return nil
}

// isFilled tells whether a generation is still to be filled, and keeps that so until the transaction ends.
func (m *Model) isFilled(ctx context.Context, tx *sql.Tx, generation int64) (bool, error) {
	var state string
	err := tx.QueryRowContext(ctx, m.db.Bind(
		"SELECT state FROM view_generations WHERE generation = ?"+m.db.ForShare()), generation).Scan(&state)
	return state == building || state == live, err
}
