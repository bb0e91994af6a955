package shards

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postroom/postroom/examples/shop/kit"
)

// What moves with a customer, in the order in which it is copied. It is deleted in the opposite order. The inbox and
// the idempotency keys stay: what comes again after a move finds the orders as they are, and changes nothing.
var data = []struct {
	table   string
	columns []string
	where   string // the condition for a customer's rows
}{
	{"order_streams", []string{"stream", "customer", "version", "at_rest"}, "customer = ?"},
	{"order_events", []string{"stream", "version", "type", "body"}, "stream IN " + streams},
	{"order_snapshots", []string{"stream", "version", "state"}, "stream IN " + streams},
	{"order_sagas", []string{"order_id", "step", "attempt", "timer", "reason"}, "order_id IN " + streams},
}

const streams = "(SELECT stream FROM order_streams WHERE customer = ?)"

// While one of these queries returns a row, something of the customer is under way. Events that wait in an outbox would
// be overtaken by later ones of the same order from the outbox of the new shard.
var busy = []string{
	"SELECT 1 FROM order_streams WHERE customer = ? AND at_rest = 0 LIMIT 1",
	waitingIn("outbox_events"), waitingIn("outbox_scheduled"), waitingIn("outbox_parked"),
	waitingIn("mail_outbox_events"), waitingIn("mail_outbox_parked"),
}

func waitingIn(outbox string) string {
	return "SELECT 1 FROM order_streams JOIN " + outbox + " ON event_key = stream WHERE customer = ? LIMIT 1"
}

// lookEvery is how often a move looks whether what is under way has ended.
const lookEvery = 20 * time.Millisecond

var errBusy = errors.New("something is under way")

// MoveAll moves every customer that the added shard has won, one after another, and returns how many those were. New
// customers begin in the right place already, so that there is an end. If the process dies in it, call it again.
func (c *Cluster) MoveAll(ctx context.Context) (int, error) {
	n := 0
	for _, from := range c.All[:c.Old] {
		customers, err := livingIn(ctx, from.DB)
		if err != nil {
			return n, err
		}
		for _, customer := range customers {
			to := Owner(c.All, customer)
			if to.Name == from.Name {
				continue
			}
			if err := move(ctx, customer, from.DB, to.DB); err != nil {
				return n, fmt.Errorf("move customer %s from %s to %s: %w", customer, from.Name, to.Name, err)
			}
			n++
		}
	}
	return n, nil
}

func livingIn(ctx context.Context, db *kit.DB) ([]string, error) {
	rows, err := db.SQL.QueryContext(ctx,
		db.Bind("SELECT customer FROM "+table+" WHERE state <> ? ORDER BY customer"), moved)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var customers []string
	for rows.Next() {
		var customer string
		if err := rows.Scan(&customer); err != nil {
			return nil, err
		}
		customers = append(customers, customer)
	}
	return customers, rows.Err()
}

// move moves one customer: nothing new begins, what is under way ends, then the rows go over. Requests are refused for
// so long.
func move(ctx context.Context, customer string, from, to *kit.DB) error {
	_, err := from.SQL.ExecContext(ctx, from.Bind(
		"UPDATE "+table+" SET state = ? WHERE customer = ? AND state = ?"), draining, customer, active)
	if err != nil {
		return err
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		err := goOver(ctx, customer, from, to)
		if !errors.Is(err, errBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// goOver copies the customer's rows and switches, if nothing is under way. Both are one transaction of the old shard,
// which holds the customer's row: nobody writes between copy and switch. The new shard commits first. If the process
// dies then, the old shard still has the customer, and the next goOver copies again.
func goOver(ctx context.Context, customer string, from, to *kit.DB) error {
	return from.Tx(ctx, func(out *sql.Tx) error {
		result, err := out.ExecContext(ctx, from.Bind(
			"UPDATE "+table+" SET state = ? WHERE customer = ? AND state = ?"), moved, customer, draining)
		if err != nil {
			return err
		}
		if rows, err := result.RowsAffected(); err != nil || rows == 0 {
			return err // 0: another process has moved the customer
		}
		for _, query := range busy {
			var found int
			switch err := out.QueryRowContext(ctx, from.Bind(query), customer).Scan(&found); {
			case err == nil:
				return fmt.Errorf("%w: %s", errBusy, query) // rolls back: the customer is draining again
			case !errors.Is(err, sql.ErrNoRows):
				return err
			}
		}
		if err := to.Tx(ctx, func(in *sql.Tx) error { return copyAll(ctx, customer, from, out, to, in) }); err != nil {
			return err
		}
		return remove(ctx, customer, from, out)
	})
}

func copyAll(ctx context.Context, customer string, from *kit.DB, out *sql.Tx, to *kit.DB, in *sql.Tx) error {
	if err := remove(ctx, customer, to, in); err != nil { // what a copy left that was not followed by the switch
		return err
	}
	columns := []string{"customer", "state", "writes"}
	if _, err := to.InsertNew(ctx, in, table, columns, customer, active, 0); err != nil {
		return err
	}
	for _, d := range data {
		names := strings.Join(d.columns, ", ")
		rows, err := out.QueryContext(ctx, from.Bind("SELECT "+names+" FROM "+d.table+" WHERE "+d.where), customer)
		if err != nil {
			return err
		}
		values := "?" + strings.Repeat(", ?", len(d.columns)-1)
		insert := to.Bind("INSERT INTO " + d.table + " (" + names + ") VALUES (" + values + ")")
		if err := copyRows(ctx, rows, len(d.columns), in, insert); err != nil {
			return fmt.Errorf("copy %s: %w", d.table, err)
		}
	}
	return nil
}

func copyRows(ctx context.Context, rows *sql.Rows, columns int, in *sql.Tx, insert string) error {
	defer func() { _ = rows.Close() }()
	values, pointers := make([]any, columns), make([]any, columns)
	for i := range values {
		pointers[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(pointers...); err != nil {
			return err
		}
		for i, value := range values {
			if text, ok := value.([]byte); ok { // MariaDB's driver returns text like this
				values[i] = string(text)
			}
		}
		if _, err := in.ExecContext(ctx, insert, values...); err != nil {
			return err
		}
	}
	return rows.Err()
}

func remove(ctx context.Context, customer string, db *kit.DB, tx *sql.Tx) error {
	for _, d := range slices.Backward(data) {
		if _, err := tx.ExecContext(ctx, db.Bind("DELETE FROM "+d.table+" WHERE "+d.where), customer); err != nil {
			return fmt.Errorf("delete from %s: %w", d.table, err)
		}
	}
	return nil
}
