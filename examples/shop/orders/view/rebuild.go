package view

import (
	"context"
	"fmt"
	"time"

	"github.com/postroom/postroom/examples/shop/events"
)

// pause is a request to Run to stop the live list.
type pause struct{ stopped, resume chan struct{} }

// Run keeps the live list in step until ctx ends.
func (v *View) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		number, err := v.live(ctx)
		if err != nil {
			return err
		}
		running, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- v.project(running, number) }()
		select {
		case err = <-ended:
			stop()
			return err
		case p := <-v.pause:
			stop()
			err = <-ended
			close(p.stopped)
			<-p.resume
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Rebuild builds a new list from the first event on, while readers use the live one and Run keeps that in step. When
// the new one has caught up, it becomes the live one, and the old one is deleted. Run must be running.
func (v *View) Rebuild(ctx context.Context) error {
	old, err := v.live(ctx)
	if err != nil {
		return err
	}
	building, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- v.project(building, old+1) }()
	if err := v.waitUntilCaughtUp(ctx, old, ended); err != nil {
		return err
	}
	// The old list must not run ahead of the new one any more: a reader would see an order go back at the switch.
	p := pause{stopped: make(chan struct{}), resume: make(chan struct{})}
	select {
	case v.pause <- p:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer close(p.resume)
	<-p.stopped
	if err := v.waitUntilCaughtUp(ctx, old, ended); err != nil {
		return err
	}
	_, err = v.db.SQL.ExecContext(ctx, v.db.Bind("UPDATE order_view_live SET view = ? WHERE id = 1"), old+1)
	if err != nil {
		return err
	}
	stop() // from here on Run keeps it in step
	if err := <-ended; err != nil {
		return err
	}
	_, err = v.db.SQL.ExecContext(ctx, v.db.Bind("DELETE FROM order_view WHERE view = ?"), old)
	return err
}

// waitUntilCaughtUp waits until the new list is as far as the old one is, in each partition.
func (v *View) waitUntilCaughtUp(ctx context.Context, old int, ended <-chan error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		have, err := v.positions(ctx, old)
		if err != nil {
			return err
		}
		built, err := v.positions(ctx, old+1)
		if err != nil {
			return err
		}
		if reaches(built, have) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			return fmt.Errorf("the new list ended before it had caught up: %w", err)
		case <-tick.C:
		}
	}
}

// positions returns the next offset of each partition.
func (v *View) positions(ctx context.Context, number int) (map[int32]int64, error) {
	ib, err := v.inboxOf(number)
	if err != nil {
		return nil, err
	}
	found, _, err := ib.GroupPositions(ctx, v.db.SQL, []string{v.kafka.Topic(events.Orders)})
	next := map[int32]int64{}
	for _, p := range found {
		next[p.Partition] = p.Next
	}
	return next, err
}

func reaches(built, have map[int32]int64) bool {
	for partition, next := range have {
		if built[partition] < next {
			return false
		}
	}
	return true
}
