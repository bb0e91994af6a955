// Sagastep is one step of a saga, to copy from. A step is one transaction: the id of a message goes into the inbox, the
// saga's row moves on, and the next command goes into the outbox.
//
//	go run ./examples/sagastep
//
// step.go is what to copy; it needs no other file. This file takes the place of a broker: it gives the step messages,
// each of them twice.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"path/filepath"

	_ "github.com/glebarez/sqlite" // the driver "sqlite"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/outbox"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sagastep:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	folder, err := os.MkdirTemp("", "sagastep-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(folder, "orders.db")+"?_txlock=immediate")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	// Postroom's tables, as `relay migrate up` makes them, and the service's own.
	if _, err := migrations.Apply(ctx, db, outbox.SQLite, migrations.Options{}); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, sagaTable); err != nil {
		return err
	}
	ob, err := outbox.New(outbox.SQLite)
	if err != nil {
		return err
	}
	ib, err := inbox.New(inbox.SQLite, "orders")
	if err != nil {
		return err
	}
	// In a service the messages come from Kafka: give inbox.Step(ob, step) to the Run of an inboxkafka.Consumer.
	for _, m := range messages() {
		for range 2 {
			outcome, err := ib.Step(ctx, db, ob, m, step)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s %-15s %s\n", m.Key, m.Type, outcome)
		}
	}
	return report(ctx, db, out)
}

// messages are what the saga hears of two orders. The second one cannot be paid.
func messages() (all []inbox.Message) {
	for order, heard := range [][]string{
		{"order.placed", "stock.reserved", "payment.taken"},
		{"order.placed", "stock.reserved", "payment.refused", "stock.released"},
	} {
		key := fmt.Sprint("order-", order+1)
		for _, kind := range heard {
			all = append(all, inbox.Message{
				ID: key + " " + kind, Key: key, Type: kind, Payload: fmt.Appendf(nil, `{"order_id":%q}`, key),
			})
		}
	}
	return all
}

// report prints where the sagas stand, and the commands that wait for the relay.
func report(ctx context.Context, db *sql.DB, out io.Writer) error {
	for _, query := range []string{
		"SELECT order_id, 'is ' || step FROM sagas ORDER BY order_id",
		"SELECT event_key, 'sent ' || event_type FROM outbox_events ORDER BY id",
	} {
		rows, err := db.QueryContext(ctx, query)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var order, text string
			if err := rows.Scan(&order, &text); err != nil {
				return err
			}
			fmt.Fprintln(out, order, text)
		}
		if err := rows.Err(); err != nil {
			return err
		}
	}
	return nil
}
