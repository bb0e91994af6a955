package shards

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/postroom/postroom/examples/shop/kit"
)

const table = "shard_customers"

// Tables makes the tables that are not there yet.
var Tables = []string{`CREATE TABLE IF NOT EXISTS ` + table + ` (
	customer VARCHAR(64) NOT NULL PRIMARY KEY,
	state    VARCHAR(16) NOT NULL,
	writes   BIGINT      NOT NULL
)`}

// States of a customer in a shard.
const (
	active   = "active"
	draining = "draining" // will move: what is under way ends, and nothing new begins
	moved    = "moved"    // lives elsewhere; the row stays, for those who do not know yet
)

// Errors of Enter.
var (
	// ErrDraining means: the customer moves at the moment. Ask again in a second.
	ErrDraining = errors.New("the customer's orders move to another database")
	// ErrMoved means: the customer lives elsewhere by now. Ask Home again.
	ErrMoved = errors.New("the customer's orders have moved to another database")
)

// Who enters.
type Who bool

// A request begins something new and has to wait while its customer is about to move. A message continues what was
// begun, and a customer only moves when that has come to its end.
const (
	Request Who = false
	Message Who = true
)

// Enter opens a transaction's way to the orders of a customer: call it before reading or writing any of them. It locks
// the customer's row until the transaction ends. So a move waits for transactions that have entered, later ones see the
// move, and the transactions of one customer come one after another.
func Enter(ctx context.Context, db *kit.DB, tx *sql.Tx, customer string, who Who) error {
	// This lets everybody in but those who are stopped. It is an UPDATE, because SQLite has no SELECT … FOR UPDATE.
	result, err := tx.ExecContext(ctx, db.Bind(
		"UPDATE "+table+" SET writes = writes + 1 WHERE customer = ? AND state IN (?, ?)"), customer, active, also(who))
	if err != nil {
		return fmt.Errorf("enter customer %s: %w", customer, err)
	}
	if rows, err := result.RowsAffected(); err != nil || rows == 1 {
		return err
	}
	columns := []string{"customer", "state", "writes"}
	if fresh, err := db.InsertNew(ctx, tx, table, columns, customer, active, 1); err != nil || fresh {
		return err
	}
	state, err := stateOf(ctx, db, tx, customer)
	switch {
	case err != nil:
		return err
	case state == moved:
		return ErrMoved
	case state == draining && who == Request:
		return ErrDraining
	}
	return Enter(ctx, db, tx, customer, who) // another transaction has just made the row
}

func also(who Who) string {
	if who == Message {
		return draining
	}
	return active
}

func stateOf(ctx context.Context, db *kit.DB, tx *sql.Tx, customer string) (state string, err error) {
	query := db.Bind("SELECT state FROM " + table + " WHERE customer = ?")
	err = tx.QueryRowContext(ctx, query, customer).Scan(&state)
	return state, err
}
