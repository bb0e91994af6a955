package shards

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

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

// errBoth means that a copy would delete orders which only the new shard has.
var errBoth = errors.New("orders were written in both shards: a process was started too early without OldShards")

// copyAll copies the customer's rows into the new shard.
func copyAll(ctx context.Context, customer string, from *kit.DB, out *sql.Tx, to *kit.DB, in *sql.Tx) error {
	columns := []string{"customer", "state", "writes"}
	if _, err := to.InsertNew(ctx, in, table, columns, customer, active, 0); err != nil {
		return err
	}
	// A copy that was not followed by the switch left its rows. Nobody has written since then: check that.
	var writes int64
	query := to.Bind("SELECT writes FROM " + table + " WHERE customer = ?" + to.ForUpdate())
	if err := in.QueryRowContext(ctx, query, customer).Scan(&writes); err != nil {
		return err
	}
	if writes > 0 {
		return errBoth
	}
	if err := remove(ctx, customer, to, in); err != nil {
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
