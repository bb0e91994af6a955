package view

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// The states of a generation.
const (
	building = "building" // it reads the topics from their beginning
	live     = "live"     // requests are answered from it
	retired  = "retired"  // its rows are deleted
)

// look is how often the generations are looked at: another gateway may have begun a rebuild.
const look = 200 * time.Millisecond

// Run fills the generations until ctx ends, and switches to one that is built. Run it in as many gateways as you like:
// they share the partitions.
func (m *Model) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	running := map[int64]context.CancelFunc{}
	for ctx.Err() == nil {
		states, err := m.generations(ctx)
		if err != nil && ctx.Err() == nil {
			m.log.WarnContext(ctx, "cannot read the generations of the read model", "error", err)
		}
		for generation, state := range states {
			switch stop, runs := running[generation]; {
			case state == retired && runs:
				stop()
				delete(running, generation)
			case state != retired && !runs:
				own, stop := context.WithCancel(ctx)
				running[generation] = stop
				group.Go(func() error { return m.fill(own, generation) })
			case state == building:
				if _, err := m.Switch(ctx, generation); err != nil && ctx.Err() == nil {
					m.log.WarnContext(ctx, "cannot switch the read model", "error", err)
				}
			}
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

func (m *Model) fill(ctx context.Context, generation int64) error {
	consumer, err := m.consumer(generation)
	if err != nil {
		return err
	}
	return consumer.RunBatch(ctx, m.project(generation))
}

func (m *Model) generations(ctx context.Context) (map[int64]string, error) {
	rows, err := m.db.SQL.QueryContext(ctx, "SELECT generation, state FROM view_generations")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	states := map[int64]string{}
	for rows.Next() {
		var generation int64
		var state string
		if err := rows.Scan(&generation, &state); err != nil {
			return nil, err
		}
		states[generation] = state
	}
	return states, rows.Err()
}

// Rebuild begins a new generation and returns its number. The gateways fill it from the beginning of the topics, and
// switch to it when it has caught up. The topics must still have all events.
func (m *Model) Rebuild(ctx context.Context) (generation int64, err error) {
	return generation, m.db.Tx(ctx, func(tx *sql.Tx) error {
		// Of two calls at the same time one fails, by the primary key.
		last := tx.QueryRowContext(ctx, "SELECT MAX(generation) FROM view_generations")
		if err := last.Scan(&generation); err != nil {
			return err
		}
		generation++
		_, err := tx.ExecContext(ctx, m.db.Bind("INSERT INTO view_generations (generation, state) VALUES (?, ?)"),
			generation, building)
		return err
	})
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
	err = m.db.Tx(ctx, func(tx *sql.Tx) error {
		done = false
		var from int64
		if err := tx.QueryRowContext(ctx,
			"SELECT generation FROM view_generations WHERE state = 'live'"+m.db.ForUpdate()).Scan(&from); err != nil {
			return err
		}
		if from == to {
			return nil // another gateway was faster
		}
		// The lock on the positions of the live one keeps it from moving on between here and the commit.
		of, err := m.positions(ctx, tx, from, m.db.ForUpdate())
		if err != nil {
			return err
		}
		reached, err := m.positions(ctx, tx, to, "")
		if err != nil {
			return err
		}
		for partition, next := range of {
			if reached[partition] < next {
				return nil
			}
		}
		for generation, state := range map[int64]string{from: retired, to: live} {
			if _, err := tx.ExecContext(ctx, m.db.Bind("UPDATE view_generations SET state = ? WHERE generation = ?"),
				state, generation); err != nil {
				return err
			}
		}
		done = true
		return nil
	})
	return done && err == nil, err
}

// queryer is a *sql.DB or a *sql.Tx.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func (m *Model) positions(ctx context.Context, q queryer, generation int64, lock string) (map[string]int64, error) {
	rows, err := q.QueryContext(ctx, m.db.Bind(`SELECT kafka_topic, kafka_partition, next_offset FROM inbox_offsets
		WHERE consumer = ? AND next_offset IS NOT NULL ORDER BY kafka_topic, kafka_partition`+lock),
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

// DeleteRetired deletes the rows of generations that nobody reads any more.
func (m *Model) DeleteRetired(ctx context.Context) error {
	states, err := m.generations(ctx)
	for generation, state := range states {
		if state != retired {
			continue
		}
		for _, table := range []string{"order_view", "customer_orders", "customer_view", "order_timeline"} {
			_, failed := m.db.SQL.ExecContext(ctx, m.db.Bind("DELETE FROM "+table+" WHERE generation = ?"), generation)
			err = errors.Join(err, failed)
		}
	}
	return err
}
