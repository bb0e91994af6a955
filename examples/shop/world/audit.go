package world

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/postroom/postroom/examples/shop/gateway/page"
	"github.com/postroom/postroom/examples/shop/invariants"
	"github.com/postroom/postroom/examples/shop/trace"
)

// Audit tells whether the data of all services fit together. See package invariants.
func (w *World) Audit(ctx context.Context) (_ []invariants.Row, err error) {
	auditor, err := w.auditor(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, auditor.Close()) }()
	return auditor.Check(ctx)
}

// auditor opens an auditor. accepted may be nil: see invariants.Options.
func (w *World) auditor(ctx context.Context, accepted func() []string) (*invariants.Auditor, error) {
	return invariants.Open(ctx, w.databases(), invariants.Options{
		Kafka: w.Kafka, Redis: w.Redis, Accepted: accepted, OldShards: int(w.oldShards.Load()),
	})
}

// Trace follows an order through all services. See package trace.
func (w *World) Trace(ctx context.Context, order string) (_ []trace.Event, err error) {
	tracer, err := trace.Open(ctx, w.databases(), w.Kafka.Prefix)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tracer.Close()) }()
	return tracer.Order(ctx, order)
}

// restWithin is how long a look at the invariants waits for the orders that are on their way. While something is
// stopped, they cannot end, and the look does not wait so long.
const (
	restWithin     = 10 * time.Second
	restWithinDown = time.Second
)

// look audits the shop for the page. The invariants are about a shop at rest, so the customers wait for a moment, until
// nothing is on its way any more. If something stays on its way, because a service is stopped for example, a row that
// does not hold may hold later: it waits.
func (w *World) look(ctx context.Context) (_ []page.Invariant, err error) {
	auditor, err := w.auditor(ctx, w.crowd.driver.Accepted)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, auditor.Close()) }()
	w.crowd.held.Store(true)
	defer w.crowd.held.Store(false)
	limit := restWithin
	if w.down() {
		limit = restWithinDown
	}
	for deadline := time.Now().Add(limit); ; {
		rows, err := auditor.Check(ctx)
		if err != nil {
			return nil, err
		}
		if time.Now().After(deadline) || len(rows) > 0 && rows[0].Holds { // the first row is rest
			return shown(rows), nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// shown is the rows as the page shows them.
func shown(rows []invariants.Row) []page.Invariant {
	shown := make([]page.Invariant, len(rows))
	for i, r := range rows {
		shown[i] = page.Invariant{
			Name: r.Name, Holds: r.Holds, Waits: !r.Holds && !rows[0].Holds, Figures: r.Figures, Reason: r.Reason,
		}
	}
	return shown
}

// down tells whether a part or a broker is stopped.
func (w *World) down() bool {
	return slices.ContainsFunc(w.Parts(), func(s Status) bool { return !s.Running }) ||
		slices.ContainsFunc(w.brokers, func(b *broker) bool { return !b.running() })
}
