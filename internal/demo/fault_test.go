package demo

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/relay"
)

type process = func(
	context.Context, *sql.DB, inbox.Message, func(context.Context, *sql.Tx) error,
) (inbox.Outcome, error)

// Each fault is injected into a run that would pass without it. The check for this fault has to find it.
func TestEachFaultIsFoundByItsCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		hooks hooks
		finds []string
	}{
		"an event is lost on its way": {
			hooks{built: func(p *parts) { p.sink.Sink = losing{p.sink.Sink} }},
			[]string{"every committed order is in the topic", "every committed order has one invoice"},
		},
		"billing has no inbox": {
			hooks{built: func(p *parts) { p.billing.process = withoutInbox }},
			[]string{"every committed order has one invoice", "every copy that billing got was dropped"},
		},
		"billing accepts a message and does nothing": {
			hooks{built: func(p *parts) { p.billing.process = skipping(p.billing.process) }},
			[]string{"every committed order has one invoice"},
		},
		"an order is written without its event": {
			hooks{over: func(ctx context.Context, p *parts) error {
				_, err := p.shopDB.DB.ExecContext(ctx, "INSERT INTO orders VALUES (9999, 'customer-01', 9999, 1)")
				return err
			}},
			[]string{"every committed order is in the topic", "every committed order has one invoice"},
		},
		"an event stays in the outbox": {
			hooks{over: leaveEvent},
			[]string{"the outbox is empty"},
		},
		"an event of a transaction that rolled back is sent": {
			hooks{over: func(ctx context.Context, p *parts) error { return publish(ctx, p, p.shop.rolledBack[0]) }},
			[]string{
				"no order that was rolled back is anywhere",
				"no message and no invoice is of anything else",
				// The order's number was used again, so its customer had later orders.
				"the topic has every customer's orders in their order",
			},
		},
		"a message's content is changed": {
			hooks{over: func(ctx context.Context, p *parts) error {
				return publish(ctx, p, order{ID: 1, Customer: "customer-99", Nth: 1, Cents: 5})
			}},
			[]string{"no message and no invoice is of anything else"},
		},
		"two events of a key change places": {
			hooks{built: func(p *parts) { p.sink.Sink = &swapping{Sink: p.sink.Sink} }},
			[]string{
				"the topic has every customer's orders in their order",
				"billing made every customer's invoices in their order",
			},
		},
		"an invoice is removed": {
			hooks{over: func(ctx context.Context, p *parts) error {
				_, err := p.billingDB.DB.ExecContext(ctx, "DELETE FROM invoices WHERE seq = 3")
				return err
			}},
			[]string{"every committed order has one invoice"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of the time it waits
			var out bytes.Buffer
			err := Run(t.Context(), Options{Out: &out, JSON: true, Orders: 120, Rate: 1000, hooks: tc.hooks})
			require.ErrorIs(t, err, ErrCheckFailed)

			var r Result
			require.NoError(t, json.Unmarshal(out.Bytes(), &r))
			require.False(t, r.OK)
			var failed []string
			for _, c := range r.Checks {
				if !c.OK {
					failed = append(failed, c.Name)
					require.ErrorContains(t, err, c.Name)
				}
			}
			require.ElementsMatch(t, tc.finds, failed)
		})
	}
}

// The demo ends, and reports what is missing, if a delivery never arrives.
func TestADeliveryThatNeverComesEndsTheDemo(t *testing.T) {
	var out bytes.Buffer
	o := Options{Out: &out, JSON: true, Orders: 20, Rate: 1000, settleFor: 300 * time.Millisecond}
	o.hooks.built = func(p *parts) { p.sink.Sink = silent{} }
	err := Run(t.Context(), o)
	require.ErrorIs(t, err, ErrCheckFailed)
	require.ErrorContains(t, err, "the outbox is empty")
	require.ErrorContains(t, err, "every committed order is in the topic (0 of ")
}

func TestAServiceThatFailsEndsTheDemoWithItsError(t *testing.T) {
	o := Options{Out: &bytes.Buffer{}, Duration: time.Hour}
	o.hooks.built = func(p *parts) {
		p.billing.process = func(
			context.Context, *sql.DB, inbox.Message, func(context.Context, *sql.Tx) error,
		) (inbox.Outcome, error) {
			return inbox.Failed, context.DeadlineExceeded
		}
	}
	err := Run(t.Context(), o)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "billing")
}

// afterCalls calls fn after n calls of next.
func afterCalls(n int64, fn func(), next process) process {
	var calls atomic.Int64
	return func(
		ctx context.Context, db *sql.DB, m inbox.Message, h func(context.Context, *sql.Tx) error,
	) (inbox.Outcome, error) {
		if calls.Add(1) == n {
			fn()
		}
		return next(ctx, db, m, h)
	}
}

func withoutInbox(
	ctx context.Context, db *sql.DB, _ inbox.Message,
	h func(context.Context, *sql.Tx) error,
) (inbox.Outcome, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return inbox.Failed, err
	}
	if err := h(ctx, tx); err != nil {
		_ = tx.Rollback()
		return inbox.Failed, err
	}
	return inbox.Applied, tx.Commit()
}

// skipping accepts the first message without handling it.
func skipping(next process) process {
	first := true
	return func(
		ctx context.Context, db *sql.DB, m inbox.Message, h func(context.Context, *sql.Tx) error,
	) (inbox.Outcome, error) {
		if first {
			first = false
			h = func(context.Context, *sql.Tx) error { return nil }
		}
		return next(ctx, db, m, h)
	}
}

// leaveEvent writes an event after the relay has ended.
func leaveEvent(ctx context.Context, p *parts) error {
	_, err := p.shopDB.DB.ExecContext(ctx, "INSERT INTO outbox_events (topic, payload) VALUES ('orders', 'x')")
	return err
}

func publish(ctx context.Context, p *parts, o order) error {
	payload, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return p.billing.client.ProduceSync(
		ctx, &kgo.Record{Topic: topic, Key: []byte(o.Customer), Value: payload},
	).FirstErr()
}

// silent accepts records and never acknowledges them.
type silent struct{}

func (silent) Check(context.Context) error { return nil }
func (silent) Open(_ context.Context, ack relay.Ack) (relay.Session, error) {
	return &silentSession{ack: ack}, nil
}

type silentSession struct {
	ack  relay.Ack
	held []*relay.Record
}

func (s *silentSession) Deliver(_ context.Context, records []*relay.Record) {
	s.held = append(s.held, records...)
}

func (s *silentSession) Close() {
	for _, r := range s.held {
		s.ack(r, relay.ErrGivenUp)
	}
}

// losing acknowledges the first record without sending it.
type losing struct{ relay.Sink }

func (l losing) Open(ctx context.Context, ack relay.Ack) (relay.Session, error) {
	s, err := l.Sink.Open(ctx, ack)
	return &losingSession{Session: s, ack: ack}, err
}

type losingSession struct {
	relay.Session
	ack  relay.Ack
	lost bool
}

func (s *losingSession) Deliver(ctx context.Context, records []*relay.Record) {
	if !s.lost && len(records) > 0 {
		s.lost = true
		s.ack(records[0], nil)
		records = records[1:]
	}
	s.Session.Deliver(ctx, records)
}

// swapping holds the first record back until the next record of its key has been sent. It does so once,
// however many sessions there are.
type swapping struct {
	relay.Sink
	done bool
}

func (l *swapping) Open(ctx context.Context, ack relay.Ack) (relay.Session, error) {
	s, err := l.Sink.Open(ctx, ack)
	return &swappingSession{Session: s, sink: l, ack: ack}, err
}

type swappingSession struct {
	relay.Session
	sink *swapping
	ack  relay.Ack
	held *relay.Record
}

func (s *swappingSession) Deliver(ctx context.Context, records []*relay.Record) {
	for _, r := range records {
		switch {
		case s.sink.done:
			s.Session.Deliver(ctx, []*relay.Record{r})
		case s.held == nil:
			s.held = r
		case string(s.held.Key) == string(r.Key):
			s.sink.done = true
			s.Session.Deliver(ctx, []*relay.Record{r, s.held})
			s.held = nil
		default:
			s.Session.Deliver(ctx, []*relay.Record{r})
		}
	}
}

func (s *swappingSession) Close() {
	s.Session.Close()
	if s.held != nil {
		s.ack(s.held, relay.ErrGivenUp)
	}
}
