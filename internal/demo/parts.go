package demo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"golang.org/x/sync/errgroup"

	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/migrations"
)

const (
	topic      = "orders"
	partitions = 4
)

// parts has all parts of the demo.
type parts struct {
	options Options
	stats   *stats

	kafka             *kfake.Cluster
	shopDB, billingDB *dbopen.Target
	shop              *shop
	billing           *billing
	sink              *countingSink
	closers           []func() error
}

func build(ctx context.Context, o Options, dir string) (_ *parts, err error) {
	p := &parts{options: o, stats: newStats()}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	p.kafka, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topic))
	if err != nil {
		return nil, fmt.Errorf("start the in-process Kafka: %w", err)
	}
	p.atEnd(func() error { p.kafka.Close(); return nil })
	if p.shopDB, err = p.openDB(ctx, filepath.Join(dir, "shop.db"), migrations.OutboxOnly); err != nil {
		return nil, err
	}
	if p.billingDB, err = p.openDB(ctx, filepath.Join(dir, "billing.db"), migrations.InboxOnly); err != nil {
		return nil, err
	}
	if p.shop, err = newShop(ctx, p.shopDB, p.stats); err != nil {
		return nil, fmt.Errorf("shop: %w", err)
	}
	if p.sink, err = newSink(p.kafka.ListenAddrs(), o.Logger, p.stats); err != nil {
		return nil, err
	}
	if p.billing, err = newBilling(ctx, p.billingDB, p.kafka.ListenAddrs(), o.Logger, p.stats); err != nil {
		return nil, fmt.Errorf("billing: %w", err)
	}
	p.atEnd(func() error { p.billing.client.Close(); return nil })
	return p, nil
}

func (p *parts) openDB(ctx context.Context, path string, scope migrations.Scope) (*dbopen.Target, error) {
	if _, err := os.Stat(path); err == nil {
		return nil, fmt.Errorf("%s is there already, from an earlier run: name another directory, or remove it", path)
	}
	target, err := dbopen.Open(ctx, "sqlite:"+(&url.URL{Path: path}).EscapedPath())
	if err != nil {
		return nil, err
	}
	p.atEnd(target.DB.Close)
	if _, err := migrations.Apply(ctx, target.DB, target.Dialect, migrations.Options{Only: scope}); err != nil {
		return nil, err
	}
	return target, nil
}

func (p *parts) atEnd(fn func() error) { p.closers = append(p.closers, fn) }

// close closes what build opened, in reverse order.
func (p *parts) close() error {
	var errs []error
	for i := len(p.closers) - 1; i >= 0; i-- {
		errs = append(errs, p.closers[i]())
	}
	p.closers = nil
	return errors.Join(errs...)
}

// run lets the shop write until it has finished or ctx ends, and then waits until its orders have arrived.
func (p *parts) run(ctx context.Context) error {
	// ctx ends only the writing: the remaining orders still have to be delivered.
	group, working := errgroup.WithContext(context.WithoutCancel(ctx))
	services, stopServices := context.WithCancel(working)
	defer stopServices()
	group.Go(func() error { return p.runRelay(services) })
	group.Go(func() error { return p.billing.run(services) })
	group.Go(func() error {
		newView(p.options, p.stats).run(services)
		return nil
	})

	writing, stopWriting := context.WithCancel(working)
	defer stopWriting()
	defer context.AfterFunc(ctx, stopWriting)()
	group.Go(func() error {
		defer stopServices()
		select {
		case <-p.billing.joined: // otherwise the first orders would seem slow
		case <-writing.Done():
		}
		if err := p.shop.write(writing, p.options, p.billing.readAgain); err != nil {
			return fmt.Errorf("shop: %w", err)
		}
		return p.settle(working)
	})
	return group.Wait()
}

// settle waits until the outbox is empty and billing has read the topic to its end. It does not wait for
// invoices, because the check looks for missing ones. If the time is over, settle returns, and the check
// reports what is missing.
func (p *parts) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.options.settleFor)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := p.arrived(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("wait for the last delivery: %w", err)
		case done:
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (p *parts) arrived(ctx context.Context) (bool, error) {
	waiting, err := p.shop.waiting(ctx)
	if err != nil || waiting > 0 {
		return false, err
	}
	// The outbox was empty, so the topic has everything that it will get.
	return p.billing.atEnd(ctx)
}
