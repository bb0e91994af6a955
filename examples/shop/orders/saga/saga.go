// Package saga leads an order through stock and payments, and back if something fails: once by commands from a table of
// steps (machine.go, orchestrated), and once by events alone (choreographed.go).
//
// A step is one transaction: the inbox accepts a message, the saga's row moves on, and the next command goes into the
// outbox. So a crash repeats the step or finds it done, and nothing in between. Every command can be sent again: who
// gets it knows the order, and answers as before.
package saga

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/orders/eventstore"
	"github.com/postroom/postroom/examples/shop/orders/order"
	"github.com/postroom/postroom/examples/shop/rules"
	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/outbox"
)

// Tables makes the tables that are not there yet.
var Tables = []string{`CREATE TABLE IF NOT EXISTS order_sagas (
	order_id VARCHAR(36)  NOT NULL PRIMARY KEY,
	step     VARCHAR(16)  NOT NULL,
	attempt  INTEGER      NOT NULL,
	timer    VARCHAR(36)  NOT NULL,
	reason   VARCHAR(255) NOT NULL
)`}

// Attempts is how often a command is sent before its silence is an answer.
const Attempts = 3

// Saga leads the orchestrated orders of one database. The caller's transaction must be the only one that is about the
// order: see shards.Enter.
type Saga struct {
	DB      *kit.DB
	Outbox  *outbox.Outbox
	Orders  *order.Repository
	Topic   func(name string) string // the name in Kafka of a topic
	Timeout time.Duration            // how long a command has for its answer

	// Rules are the switches of the demonstration. nil: all rules are followed.
	Rules *rules.Switches

	machine map[Step]rule // nil: machine. Tests leave rules out, to show what for they are.
}

// row is a saga in the database.
type row struct {
	Step    Step
	Attempt int    // of the step's command, from 1
	Timer   string // the id of the event that ends the wait; empty: none
	Reason  string // why the order is cancelled
}

// Message is what a saga hears: an answer, a timeout, or the customer's wish.
type Message struct {
	events.Of
	Type   string
	Reason string // of an answer that says no
	Cause  inbox.Message
}

// Start begins the saga of an order that was just placed.
func (s *Saga) Start(ctx context.Context, tx *sql.Tx, o order.Order, cause inbox.Message) error {
	return s.enter(ctx, tx, o, &row{Step: Reserving, Attempt: 1}, "", cause)
}

// Handle moves the saga of the message's order on. An order without a saga is none of its business.
func (s *Saga) Handle(ctx context.Context, tx *sql.Tx, m Message) error {
	r, err := s.load(ctx, tx, m.OrderID)
	if r == nil || err != nil {
		return err
	}
	if !r.next(s.rules(), m) {
		return nil
	}
	if err := s.stopTimer(ctx, tx, r); err != nil {
		return err
	}
	o, err := s.Orders.Load(ctx, tx, m.OrderID)
	if err != nil {
		return err
	}
	return s.enter(ctx, tx, o, r, m.Reason, m.Cause)
}

// next moves the row on by a message. False: the message changes nothing.
func (r *row) next(rules map[Step]rule, m Message) bool {
	to, known := rules[r.Step].on[m.Type]
	if m.Type == events.TypeStepTimedOut {
		// The step and the attempt would not do: after a repair, a late timer of the first round would fit the second.
		if m.Cause.ID != r.Timer {
			return false // the answer was faster
		}
		if r.Attempt < Attempts {
			r.Attempt++
			return true
		}
		to, known = rules[r.Step].silent, true
	}
	if !known {
		return false
	}
	if reason := reasons[m.Type]; reason != "" && r.Reason == "" {
		r.Reason = reason // the first one: what follows is the compensation
	}
	r.Step, r.Attempt = to, 1
	return true
}

// enter does what a step begins with, and writes the row.
func (s *Saga) enter(ctx context.Context, tx *sql.Tx, o order.Order, r *row, why string, cause inbox.Message) error {
	if err := s.send(ctx, tx, o, r, cause); err != nil {
		return err
	}
	if err := s.save(ctx, tx, o.OrderID, *r); err != nil {
		return err
	}
	var decide order.Decision
	switch r.Step {
	case Done:
		decide = order.Confirm
	case Undone:
		decide = func(o order.Order) ([]eventstore.Event, error) { return order.Cancel(o, r.Reason) }
	case Stuck:
		if why == "" {
			why = fmt.Sprintf("no answer after %d attempts", Attempts)
		}
		decide = func(o order.Order) ([]eventstore.Event, error) { return order.GetStuck(o, why) }
	default:
		decide = order.Resume // nothing, unless an answer has reached a stuck order
	}
	_, err := s.Orders.Change(ctx, tx, o.OrderID, 0, cause, decide)
	return err
}

// send writes the step's command, and the event that ends the wait for its answer.
func (s *Saga) send(ctx context.Context, tx *sql.Tx, o order.Order, r *row, cause inbox.Message) error {
	name := s.rules()[r.Step].send
	if name == "" {
		return nil
	}
	command, err := s.command(name, o)
	if err != nil {
		return err
	}
	body, err := outbox.JSON(events.StepTimedOut{Of: o.Of, Step: string(r.Step), Attempt: r.Attempt})
	if err != nil {
		return err
	}
	timer := outbox.Event{
		ID: uuid.Must(uuid.NewV7()), Topic: s.Topic(events.OrderTimeouts), Key: o.OrderID,
		Type: events.TypeStepTimedOut, Payload: body, DeliverAt: time.Now().Add(s.Timeout),
	}
	r.Timer = timer.ID.String()
	return s.Outbox.Add(ctx, tx, caused(cause, command, timer)...)
}

func (s *Saga) command(name string, o order.Order) (outbox.Event, error) {
	topic, body := events.StockCommands, any(nil)
	switch name {
	case events.TypeReserveStock:
		body = events.ReserveStock{Of: o.Of, Items: o.Items, Cents: o.Cents}
	case events.TypeReleaseStock:
		body = events.ReleaseStock{Of: o.Of}
	case events.TypeTakePayment:
		topic, body = events.PaymentCommands, events.TakePayment{Of: o.Of, Cents: o.Cents}
	case events.TypeRefundPayment:
		topic, body = events.PaymentCommands, events.RefundPayment{Of: o.Of}
	}
	payload, err := json.Marshal(body)
	return outbox.Event{Topic: s.Topic(topic), Key: o.OrderID, Type: name, Payload: payload}, err
}

// stopTimer takes the event back that was to end the wait. If it is on its way already, next finds that it is late.
func (s *Saga) stopTimer(ctx context.Context, tx *sql.Tx, r *row) error {
	if r.Timer == "" {
		return nil
	}
	id, err := uuid.Parse(r.Timer)
	if err != nil {
		return err
	}
	r.Timer = ""
	_, err = s.Outbox.Cancel(ctx, tx, id)
	return err
}

func (s *Saga) load(ctx context.Context, tx *sql.Tx, orderID string) (*row, error) {
	var r row
	err := tx.QueryRowContext(ctx, s.DB.Bind(
		"SELECT step, attempt, timer, reason FROM order_sagas WHERE order_id = ?"), orderID).
		Scan(&r.Step, &r.Attempt, &r.Timer, &r.Reason)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("saga of order %s: %w", orderID, err)
	}
	return &r, nil
}

func (s *Saga) save(ctx context.Context, tx *sql.Tx, orderID string, r row) error {
	if _, err := tx.ExecContext(ctx, s.DB.Bind("DELETE FROM order_sagas WHERE order_id = ?"), orderID); err != nil {
		return fmt.Errorf("saga of order %s: %w", orderID, err)
	}
	_, err := tx.ExecContext(ctx, s.DB.Bind(
		"INSERT INTO order_sagas (order_id, step, attempt, timer, reason) VALUES (?, ?, ?, ?, ?)"),
		orderID, r.Step, r.Attempt, r.Timer, r.Reason)
	return err
}

func (s *Saga) rules() map[Step]rule {
	if s.machine != nil {
		return s.machine
	}
	if !s.Rules.On(rules.Compensation) {
		return withoutCompensation
	}
	return machine
}

// caused notes on events what they answer, if it is a message.
func caused(cause inbox.Message, answers ...outbox.Event) []outbox.Event {
	if cause.ID == "" {
		return answers
	}
	return inbox.WithCausation(cause, answers...)
}
