package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/outbox"
)

// sagaTable has one row for each order: where its saga stands.
const sagaTable = `CREATE TABLE IF NOT EXISTS sagas (
	order_id VARCHAR(36) NOT NULL PRIMARY KEY,
	step     VARCHAR(16) NOT NULL
)`

// transition says where a message leads, and which command the next step begins with.
type transition struct{ from, message, to, command, topic string }

// saga is all of it. Releasing is the compensation: it undoes what reserving did.
var saga = []transition{
	{"", "order.placed", "reserving", "stock.reserve", "stock-commands"},
	{"reserving", "stock.reserved", "paying", "payment.take", "payment-commands"},
	{"reserving", "stock.short", "cancelled", "", ""},
	{"paying", "payment.taken", "confirmed", "", ""},
	{"paying", "payment.refused", "releasing", "stock.release", "stock-commands"},
	{"releasing", "stock.released", "cancelled", "", ""},
}

// step is one step of the saga. The inbox calls it in a transaction that also has the message's id, and writes the
// command that it returns to the outbox in the same transaction. So all three happen, or none of them: after a crash
// the message comes again.
//
// The question marks are for MySQL, MariaDB and SQLite. PostgreSQL wants $1, $2, $3.
func step(ctx context.Context, tx *sql.Tx, m inbox.Message) ([]outbox.Event, error) {
	var body struct {
		OrderID string `json:"order_id"`
	}
	if err := json.Unmarshal(m.Payload, &body); err != nil {
		return nil, fmt.Errorf("read the body of a %s: %w", m.Type, err)
	}
	var from string // empty: the order has no saga yet
	err := tx.QueryRowContext(ctx, "SELECT step FROM sagas WHERE order_id = ?", body.OrderID).Scan(&from)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	for _, t := range saga {
		if t.from != from || t.message != m.Type {
			continue
		}
		if err := move(ctx, tx, body.OrderID, t); err != nil || t.command == "" {
			return nil, err
		}
		// The key keeps the commands of one order in their order.
		return []outbox.Event{{Topic: t.topic, Key: body.OrderID, Type: t.command, Payload: m.Payload}}, nil
	}
	return nil, nil // a late answer, or a copy of one: the saga does not wait for it
}

// move writes where the saga stands now. If two answers come at the same time, one of them finds that the step is not
// the one that it has read. Its transaction fails, and the message is tried again.
func move(ctx context.Context, tx *sql.Tx, orderID string, t transition) error {
	if t.from == "" {
		_, err := tx.ExecContext(ctx, "INSERT INTO sagas (order_id, step) VALUES (?, ?)", orderID, t.to)
		return err
	}
	result, err := tx.ExecContext(ctx,
		"UPDATE sagas SET step = ? WHERE order_id = ? AND step = ?", t.to, orderID, t.from)
	if err != nil {
		return err
	}
	if rows, err := result.RowsAffected(); err != nil || rows == 1 {
		return err
	}
	return fmt.Errorf("the saga of order %s has moved on from %s meanwhile", orderID, t.from)
}
