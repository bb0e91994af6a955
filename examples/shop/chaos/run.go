//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postroom/postroom/examples/shop/driver"
	"github.com/postroom/postroom/examples/shop/invariants"
	"github.com/postroom/postroom/internal/servers"
)

// chaos makes the run, and returns what came of it. An error means that the run could not be made.
func (o options) chaos(
	ctx context.Context, root, dir string, getenv func(string) string, screen io.Writer,
) (r *report, err error) {
	log, err := newJournal(dir, screen)
	if err != nil {
		return nil, err
	}
	defer log.close()
	s := &shop{log: log, prefix: "shop_"}
	if o.given {
		s.prefix = fmt.Sprintf("chaos%d_", rand.IntN(1_000_000))
	}
	defer func() {
		err = errors.Join(err, s.close(err != nil || r == nil || !r.Passed || o.keep))
	}()
	log.show("seed %d; building the shop, and starting its servers", o.seed)
	binary, err := build(ctx, root, dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(binary) }() // it is large, and can be built again
	if err := s.openServers(ctx, root, o.given, getenv); err != nil {
		return nil, err
	}
	if err := s.provision(ctx); err != nil {
		return nil, err
	}
	s.fleet = newFleet(binary, dir, log)
	ended := false
	defer func() {
		if !ended {
			s.fleet.end()
		}
	}()
	if err := s.start("SHOP_RULES_OFF=" + string(o.ruleOff)); err != nil {
		return nil, err
	}
	r, err = o.live(ctx, s, dir)
	if err != nil {
		return nil, err
	}
	s.fleet.end()
	ended = true
	r.Processors = s.fleet.worked()
	r.Alarms = s.fleet.alarmed()
	r.Problems = s.problems
	r.Dir, r.Databases = dir, s.where()
	r.judge(o)
	return r, nil
}

// where tells where the data is, without passwords.
func (s *shop) where() string {
	names := make([]string, len(s.names))
	for i, name := range s.names {
		names[i] = s.prefix + name
	}
	where := strings.Join(names, ", ")
	if s.own != nil {
		where += fmt.Sprintf("; POSTROOM_DEV_STATE=%s dev/services up starts their servers again", s.own.State())
	}
	return where
}

// live lets customers order while there is trouble, and looks at what is left when the shop is at rest.
func (o options) live(ctx context.Context, s *shop, dir string) (*report, error) {
	file, err := os.Create(filepath.Join(dir, "driver.log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only a log
	d := driver.New(driver.Config{
		Gateway: "http://" + s.listen["gateway"], Stock: "http://" + s.listen["stock"],
		Payments: "http://" + s.listen["payments"], Customers: o.customers, Workers: o.workers, Seed: o.seed,
		Rate: o.rate,
		Log:  slog.New(slog.NewTextHandler(file, nil)),
	})
	defer d.Close()
	s.log.show("the shop opens")
	prepared, stop := context.WithTimeout(ctx, 3*time.Minute)
	defer stop()
	if err := d.Prepare(prepared); err != nil {
		return nil, fmt.Errorf("the shop does not open: %w", err)
	}
	began := time.Now()
	o.disturb(ctx, s, d)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	r := &report{Seed: o.seed, RuleOff: string(o.ruleOff), Disturbed: time.Since(began)}
	auditor, err := invariants.Open(ctx, s.databases, invariants.Options{
		Kafka: s.kafka, Redis: s.addresses[servers.Redis], Accepted: d.Accepted,
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = auditor.Close() }() // it only reads
	began = time.Now()
	if r.Rows, err = o.awaitRest(ctx, s, auditor); err != nil {
		return nil, err
	}
	r.Settled = time.Since(began)
	r.Counts, r.Troubles, r.Failures = d.Counts(), s.log.counts, s.fleet.failures
	return r, r.addOrders(ctx, s, d)
}

// patience is how many times the duration a run may take to get the orders and kills that it needs, on a busy machine.
const patience = 5

// disturb lets the customers act and makes trouble for the duration, and longer if there were too few orders or kills.
func (o options) disturb(ctx context.Context, s *shop, d *driver.Driver) {
	ctx, cancel := context.WithTimeout(ctx, patience*o.duration)
	defer cancel()
	enough := time.After(o.duration)
	s.log.show("customers order, and there is trouble for %v", o.duration)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if !o.calm {
			s.makeTrouble(ctx, o.seed)
		}
	}()
	driven := make(chan struct{})
	go func() {
		defer close(driven)
		_ = d.Run(ctx) // it returns nil
	}()
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for over := false; !over; {
		select {
		case <-tick.C:
			c := d.Counts()
			s.log.show("%d orders accepted, %d changed, %d cancelled, %d requests repeated; troubles: %s",
				c.Accepted, c.Changed, c.Cancelled, c.Retries, s.log.troubles())
		case <-enough:
			enough = nil
		case <-ctx.Done():
		}
		over = ctx.Err() != nil || enough == nil && d.Counts().Accepted >= o.orders && s.log.kills() >= o.kills
	}
	cancel()
	<-driven
	<-done
}

// awaitRest waits until the shop is at rest, and returns the table. After the time for it, it returns what there is.
func (o options) awaitRest(ctx context.Context, s *shop, auditor *invariants.Auditor) ([]invariants.Row, error) {
	s.log.show("no more trouble, no more orders; waiting for the rest")
	s.awaitAnswers(ctx)
	deadline := time.Now().Add(o.settle)
	rests := 0
	for {
		rows, err := auditor.Check(ctx)
		if err != nil {
			return nil, err
		}
		var waiting []string
		for _, row := range rows {
			if !row.Holds {
				waiting = append(waiting, row.Name+": "+row.Figures)
			}
			if row.Name == "caches" && !row.Holds { // this one holds at all times, not only at rest
				s.problem("on the way to rest the caches were wrong: %s", row.Figures)
			}
		}
		if rows[0].Holds {
			rests++
		} else {
			rests = 0
		}
		// Twice: what one consumer has just done may be the next one's event.
		if rests >= 2 && len(waiting) == 0 || rests >= 5 || time.Now().After(deadline) {
			return rows, nil
		}
		s.log.show("waiting: %s", strings.Join(waiting, "; "))
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// awaitAnswers waits until each service answers.
func (s *shop) awaitAnswers(ctx context.Context) {
	for _, address := range s.listen {
		for ctx.Err() == nil {
			response, err := http.Get("http://" + address + "/")
			if err == nil {
				_ = response.Body.Close()
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}
