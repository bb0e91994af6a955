//go:build unix

package chaos

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"
)

// lock takes what the blow names, and holds it. It counts only what was held to the end.
func (t *trouble) lock(ctx context.Context, blow Trouble) {
	held := func() {
		t.log.say("trouble", "%s, for %v", blow.Kind, blow.For.Round(time.Millisecond))
		pause(ctx, blow.For)
		t.log.say("trouble", "%s ends", blow.Kind)
	}
	var err error
	switch blow.Kind {
	case LockTable:
		err = t.db.lockTable(ctx, held)
	case LockLease:
		err = t.db.lockRow(ctx, "outbox_leases", 1, held)
	default:
		err = t.lockEvent(ctx, blow, held)
	}
	if err != nil {
		t.log.say("trouble", "%s: %v", blow.Kind, err) // others had it, or it was delivered meanwhile
		return
	}
	t.count(func(b *Blows) {
		switch blow.Kind {
		case LockTable:
			b.TableLocks++
		case LockLease:
			b.LeaseLocks++
		default:
			b.RowLocks++
		}
	})
}

// lockEvent locks one of the first rows of outbox_events. A row may be delivered, or locked by
// the relay that deletes it, before it can be locked: then it tries another one.
func (t *trouble) lockEvent(ctx context.Context, blow Trouble, held func()) error {
	err := errors.New("no row was waiting")
	for end := time.Now().Add(4 * aimFor); time.Now().Before(end) && err != nil; pause(ctx, 20*time.Millisecond) {
		var id int64
		if id, err = t.db.nthEvent(ctx, blow.Pick%20); err == nil {
			err = t.db.lockRow(ctx, "outbox_events", id, held)
		}
	}
	return err
}

// session runs a function in a database session of its own, which waits for a lock for some
// seconds at the most, and ends with it.
func (d *database) session(ctx context.Context, run func(*sql.Conn) error) error {
	conn, err := d.admin.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() {
		// Settings and locks end with the connection: the pool does not get it back.
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}()
	if _, err := conn.ExecContext(ctx, d.sql.patience); err != nil {
		return err
	}
	return run(conn)
}

// lockTable locks outbox_events against everybody else while held runs, as a migration does.
func (d *database) lockTable(ctx context.Context, held func()) error {
	return d.session(ctx, func(conn *sql.Conn) error {
		for _, statement := range d.sql.lockTable {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		held()
		_, err := conn.ExecContext(ctx, d.sql.unlockTable)
		return err
	})
}

// lockRow locks the row of a table with an id while held runs, as a forgotten SELECT … FOR
// UPDATE does.
func (d *database) lockRow(ctx context.Context, table string, id int64, held func()) error {
	return d.session(ctx, func(conn *sql.Conn) error {
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // nothing was changed
		if err := tx.QueryRowContext(
			ctx, fmt.Sprintf("SELECT id FROM %s WHERE id = %d FOR UPDATE", table, id),
		).Scan(&id); err != nil {
			return fmt.Errorf("lock row %d of %s: %w", id, table, err)
		}
		held()
		return nil
	})
}

// nthEvent returns the id of the n-th row of outbox_events, counted from 0.
func (d *database) nthEvent(ctx context.Context, n uint64) (id int64, err error) {
	err = d.admin.QueryRowContext(
		ctx, fmt.Sprintf("SELECT id FROM outbox_events ORDER BY id LIMIT 1 OFFSET %d", n),
	).Scan(&id)
	return id, err
}
