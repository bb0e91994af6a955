package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// table is outbox_events. read and remove may run side by side.
type table interface {
	// read adds the first rows above after to b, at most limit.
	read(ctx context.Context, after int64, limit int, b *batch) error
	// remove deletes the rows of a range.
	remove(ctx context.Context, lo, hi int64) error
	close()
}

// drain moves rows until a read finds none, and returns when all are deleted.
func drain(ctx context.Context, rows table, client *kgo.Client, cfg settings) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var (
		free  = make(chan *batch, cfg.window)
		full  = make(chan *batch, cfg.window)
		acked = make(chan *batch, cfg.window)
	)
	for range cfg.window {
		free <- newBatch(cfg.batch, cfg.plain)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return readAll(ctx, rows, cfg.batch, free, full) })
	g.Go(func() error {
		for b := range full {
			if cfg.id == "" || len(b.records) == 0 {
				produce(ctx, client, b, acked, fail)
			} else if err := transact(ctx, client, b, acked); err != nil {
				return err
			}
		}
		// Every batch being free again, nothing is under way.
		for range cfg.window {
			if _, err := receive(ctx, free); err != nil {
				return err
			}
		}
		close(acked)
		return nil
	})
	g.Go(func() error { return removeAll(ctx, rows, acked, free) })
	return g.Wait()
}

// readAll fills batches until a read finds nothing.
func readAll(ctx context.Context, rows table, limit int, free <-chan *batch, full chan<- *batch) error {
	defer close(full)
	last := int64(0)
	for {
		b, err := receive(ctx, free)
		if err != nil {
			return err
		}
		b.reset()
		if err := rows.read(ctx, last, limit, b); err != nil {
			return fmt.Errorf("read rows above %d: %w", last, err)
		}
		full <- b // there is room for every batch
		if len(b.records) == 0 {
			return nil
		}
		last = b.hi
	}
}

// produce hands a batch to the client, which acknowledges it through acked.
func produce(ctx context.Context, client *kgo.Client, b *batch, acked chan<- *batch, fail func(error)) {
	if len(b.records) == 0 {
		acked <- b
		return
	}
	b.left.Store(int64(len(b.records)))
	promise := func(_ *kgo.Record, err error) {
		if err != nil {
			fail(fmt.Errorf("produce: %w", err))
			return
		}
		if b.left.Add(-1) == 0 {
			acked <- b
		}
	}
	for i := range b.records {
		client.Produce(ctx, &b.records[i], promise)
	}
}

// transact sends a batch as a transaction. The next batch is read meanwhile.
func transact(ctx context.Context, client *kgo.Client, b *batch, acked chan<- *batch) error {
	if err := client.BeginTransaction(); err != nil {
		return err
	}
	failed := kgo.AbortingFirstErrPromise(client)
	for i := range b.records {
		client.Produce(ctx, &b.records[i], failed.Promise())
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	if err := failed.Err(); err != nil {
		return err
	}
	if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return err
	}
	acked <- b
	return nil
}

func removeAll(ctx context.Context, rows table, acked <-chan *batch, free chan<- *batch) error {
	for {
		b, ok, err := receiveOrClosed(ctx, acked)
		if err != nil || !ok {
			return err
		}
		if len(b.records) > 0 {
			if err := rows.remove(ctx, b.lo, b.hi); err != nil {
				return fmt.Errorf("delete rows %d to %d: %w", b.lo, b.hi, err)
			}
		}
		free <- b
	}
}

func receive(ctx context.Context, from <-chan *batch) (*batch, error) {
	b, _, err := receiveOrClosed(ctx, from)
	return b, err
}

func receiveOrClosed(ctx context.Context, from <-chan *batch) (*batch, bool, error) {
	select {
	case b, ok := <-from:
		return b, ok, nil
	case <-ctx.Done():
		return nil, false, context.Cause(ctx)
	}
}
