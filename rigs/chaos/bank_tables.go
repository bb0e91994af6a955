//go:build unix

package chaos

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// bank has the tables of one mode: accounts, and a ledger of what was applied to them.
type bank struct {
	mode     BankMode
	postgres bool
}

// create makes the tables and opens the accounts. The ledger's seq gives the order of a key's transfers,
// because each is written by a transaction that began after the previous one had committed.
func (b bank) create(ctx context.Context, db *sql.DB) error {
	seq := "bigint AUTO_INCREMENT PRIMARY KEY"
	if b.postgres {
		seq = "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
	}
	var rows []string
	for id := range bankAccounts {
		rows = append(rows, fmt.Sprintf("(%d, %d)", id, bankOpening))
	}
	for _, statement := range []string{
		"CREATE TABLE " + b.mode.table("accounts") + " (id int PRIMARY KEY, balance bigint NOT NULL)",
		"CREATE TABLE " + b.mode.table("ledger") + " (seq " + seq +
			", message_id varchar(255) NOT NULL, from_account int NOT NULL, to_account int NOT NULL, amount bigint " +
			"NOT NULL)",
		"INSERT INTO " + b.mode.table("accounts") + " (id, balance) VALUES " + strings.Join(rows, ", "),
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("make the bank of mode %s: %w", b.mode, err)
		}
	}
	return nil
}

// apply writes the transfers to the ledger and moves the money. It updates accounts in the order of their
// numbers, because transfers of other partitions update the same rows, and another order could deadlock.
func (b bank) apply(ctx context.Context, tx *sql.Tx, transfers []Transfer) error {
	change := make(map[int]int64)
	var rows []string
	var args []any
	for i, t := range transfers {
		change[t.From] -= t.Amount
		change[t.To] += t.Amount
		row := "(?, ?, ?, ?)"
		if b.postgres {
			row = fmt.Sprintf("($%d, $%d, $%d, $%d)", 4*i+1, 4*i+2, 4*i+3, 4*i+4)
		}
		rows = append(rows, row)
		args = append(args, t.ID, t.From, t.To, t.Amount)
	}
	insert := "INSERT INTO " + b.mode.table(
		"ledger",
	) + " (message_id, from_account, to_account, amount) VALUES " + strings.Join(rows, ", ")
	if _, err := tx.ExecContext(ctx, insert, args...); err != nil {
		return err
	}
	type move struct {
		account int
		amount  int64
	}
	var moves []move
	for account, amount := range change {
		moves = append(moves, move{account, amount})
	}
	slices.SortFunc(moves, func(a, b move) int { return cmp.Compare(a.account, b.account) })
	for _, each := range moves {
		_, err := tx.ExecContext(
			ctx,
			fmt.Sprintf(
				"UPDATE %s SET balance = balance + %d WHERE id = %d", b.mode.table("accounts"), each.amount,
				each.account,
			),
		)
		if err != nil {
			return err
		}
	}
	return nil
}

// read returns the content of the tables, without Parked.
func (b bank) read(ctx context.Context, db *sql.DB) (found Balances, err error) {
	found.Accounts = make(map[int]int64)
	accounts, err := db.QueryContext(ctx, "SELECT id, balance FROM "+b.mode.table("accounts"))
	if err != nil {
		return found, err
	}
	defer func() { _ = accounts.Close() }() // accounts.Err reports the error
	for accounts.Next() {
		var id int
		var balance int64
		if err := accounts.Scan(&id, &balance); err != nil {
			return found, err
		}
		found.Accounts[id] = balance
	}
	if err := accounts.Err(); err != nil {
		return found, err
	}
	ledger, err := db.QueryContext(
		ctx, "SELECT message_id, from_account, to_account, amount FROM "+b.mode.table("ledger")+" ORDER BY seq",
	)
	if err != nil {
		return found, err
	}
	defer func() { _ = ledger.Close() }() // ledger.Err reports the error
	for ledger.Next() {
		var t Transfer
		if err := ledger.Scan(&t.ID, &t.From, &t.To, &t.Amount); err != nil {
			return found, err
		}
		found.Ledger = append(found.Ledger, t)
	}
	return found, ledger.Err()
}
