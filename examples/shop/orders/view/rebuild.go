package view

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// lookEvery is how often Run looks which lists there are: another process may have begun one.
const lookEvery = 200 * time.Millisecond

// Run keeps all lists in step until ctx ends, and lets a new one take the place of the live one when it has caught up.
// Run it in as many processes as you like: they share the partitions of the topic.
func (v *View) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	running := map[int]context.CancelFunc{}
	for ctx.Err() == nil {
		if err := v.look(ctx, group, running); err != nil && ctx.Err() == nil {
			v.log.WarnContext(ctx, "cannot look after the lists of orders, trying again", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(lookEvery):
		}
	}
	for _, stop := range running {
		stop()
	}
	return group.Wait()
}

// look starts and stops what keeps lists in step, and switches to a list that has caught up.
func (v *View) look(ctx context.Context, group *errgroup.Group, running map[int]context.CancelFunc) error {
	lists, err := v.Lists(ctx)
	if err != nil {
		return err
	}
	kept := map[int]bool{lists.Live: true}
	for _, number := range lists.Building {
		kept[number] = true
		if err := v.takeOver(ctx, number); err != nil {
			return err
		}
	}
	for number, stop := range running {
		if !kept[number] {
			stop()
			delete(running, number)
		}
	}
	for number := range kept {
		if running[number] != nil {
			continue
		}
		own, stop := context.WithCancel(ctx)
		running[number] = stop
		group.Go(func() error {
			err := v.project(own, number)
			switch {
			case ctx.Err() != nil:
				return nil
			case own.Err() == nil:
				return err
			}
			// Another list has taken its place. If this fails, the next start deletes the rows.
			if err := v.clear(ctx, "view = ?", number); err != nil && ctx.Err() == nil {
				v.log.WarnContext(ctx, "cannot delete the old list", "error", err)
			}
			return nil
		})
	}
	return nil
}

// Lists are the lists that are kept in step.
type Lists struct {
	Live     int   `json:"live"`     // what readers get
	Building []int `json:"building"` // lists that have not caught up yet
}

// Lists tells which lists there are.
func (v *View) Lists(ctx context.Context) (Lists, error) {
	lists := Lists{Building: []int{}}
	rows, err := v.db.SQL.QueryContext(ctx,
		"SELECT l.view, n.view FROM order_view_live l JOIN order_view_lists n ON n.view >= l.view WHERE l.id = 1")
	if err != nil {
		return lists, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var number int
		if err := rows.Scan(&lists.Live, &number); err != nil {
			return lists, err
		}
		if number > lists.Live {
			lists.Building = append(lists.Building, number)
		}
	}
	return lists, rows.Err()
}

// Rebuild begins a new list, and returns its number. Run fills it from the first event on, while readers use the live
// one. When it has caught up, it becomes the live one, and the old one is deleted. If a list is being built already,
// Rebuild returns that one's number.
func (v *View) Rebuild(ctx context.Context) (number int, err error) {
	return number, v.db.Tx(ctx, func(tx *sql.Tx) error {
		live, err := v.lockLive(ctx, tx)
		if err != nil {
			return err
		}
		number = live + 1
		_, err = v.db.InsertNew(ctx, tx, "order_view_lists", []string{"view"}, number)
		return err
	})
}

// lockLive returns the number of the live list, which stays the live one until the transaction ends.
func (v *View) lockLive(ctx context.Context, tx *sql.Tx) (number int, err error) {
	query := "SELECT view FROM order_view_live WHERE id = 1" + v.db.ForUpdate()
	err = tx.QueryRowContext(ctx, query).Scan(&number)
	return number, err
}

// takeOver makes a list the live one if it has caught up. Readers notice nothing: it has all that they could have seen.
func (v *View) takeOver(ctx context.Context, number int) error {
	return v.db.Tx(ctx, func(tx *sql.Tx) error {
		live, err := v.lockLive(ctx, tx)
		if err != nil || live >= number {
			return err // another process was faster
		}
		ready, err := v.caughtUp(ctx, tx, live, number)
		if err != nil || !ready {
			return err
		}
		if _, err := tx.ExecContext(ctx, v.db.Bind(
			"UPDATE order_view_live SET view = ? WHERE id = 1"), number); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, v.db.Bind("DELETE FROM order_view_lists WHERE view = ?"), live)
		return err
	})
}

// caughtUp tells whether a list is as far as the live one, in each partition, and has parked no event. The lock on the
// live one's positions keeps it from moving on between here and the commit: a reader would see an order go back.
func (v *View) caughtUp(ctx context.Context, tx *sql.Tx, live, number int) (bool, error) {
	have, err := v.positions(ctx, tx, live, v.db.ForUpdate())
	if err != nil {
		return false, err
	}
	built, err := v.positions(ctx, tx, number, "")
	if err != nil {
		return false, err
	}
	for partition, next := range have {
		if built[partition] < next {
			return false, nil
		}
	}
	var parked int
	err = tx.QueryRowContext(ctx, v.db.Bind(
		"SELECT COUNT(*) FROM inbox_parked WHERE consumer = ?"), v.consumer(number)).Scan(&parked)
	return parked == 0, err
}

// positions returns the next offset of each partition.
func (v *View) positions(ctx context.Context, tx *sql.Tx, number int, lock string) (map[int32]int64, error) {
	rows, err := tx.QueryContext(ctx, v.db.Bind(`SELECT kafka_partition, next_offset FROM inbox_offsets
		WHERE consumer = ? AND next_offset IS NOT NULL ORDER BY kafka_partition`+lock), v.consumer(number))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	next := map[int32]int64{}
	for rows.Next() {
		var partition int32
		var offset int64
		if err := rows.Scan(&partition, &offset); err != nil {
			return nil, err
		}
		next[partition] = offset
	}
	return next, rows.Err()
}

// clear deletes rows of lists that nobody reads any more.
func (v *View) clear(ctx context.Context, where string, args ...any) error {
	if _, err := v.db.SQL.ExecContext(ctx, v.db.Bind("DELETE FROM order_view WHERE "+where), args...); err != nil {
		return fmt.Errorf("delete an old list of orders: %w", err)
	}
	return nil
}
