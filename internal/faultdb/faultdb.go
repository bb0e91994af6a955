package faultdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
)

// Statements that a Hook is asked about beside SQL.
const (
	Begin    = "BEGIN"
	Commit   = "COMMIT"
	Rollback = "ROLLBACK"
)

// Fault is what goes wrong with one statement. Its zero value: nothing.
type Fault struct {
	err   error
	cut   bool // the connection breaks
	after bool // once the statement has taken effect
}

// LoseRequest breaks the connection before the statement reaches the database.
func LoseRequest() Fault { return Fault{err: io.ErrUnexpectedEOF, cut: true} }

// LoseAnswer lets the statement take effect and breaks the connection before the answer.
func LoseAnswer() Fault { return Fault{err: io.ErrUnexpectedEOF, cut: true, after: true} }

// Fail answers with err instead of sending the statement. The connection stays, and
// so does its transaction, unless it is Commit that fails: that rolls back.
func Fail(err error) Fault { return Fault{err: err} }

// Hook is asked before every statement, and about Begin, Commit and Rollback. It is
// called from many goroutines. Statements that the program prepares itself are not
// asked about.
type Hook func(statement string) Fault

// Open returns a database whose connections are inner's, with the faults of hook.
// Close it before inner.
func Open(inner *sql.DB, hook Hook) *sql.DB {
	return sql.OpenDB(connector{inner: inner, hook: hook})
}

type connector struct {
	inner *sql.DB
	hook  Hook
}

func (c connector) Driver() driver.Driver { return c.inner.Driver() }

// Connect borrows a connection of inner and keeps it until Close.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	borrowed, err := c.inner.Conn(ctx)
	if err != nil {
		return nil, err
	}
	var raw driver.Conn
	err = borrowed.Raw(func(driverConn any) error {
		raw = driverConn.(driver.Conn)
		return nil
	})
	return &conn{Conn: raw, borrowed: borrowed, hook: c.hook}, err
}

type conn struct {
	driver.Conn
	borrowed *sql.Conn
	hook     Hook
	broken   bool
}

// do runs a statement with the fault that the hook has for it.
func (c *conn) do(statement string, run func() error) error {
	return c.doOr(statement, func() error { return nil }, run)
}

// doOr is do for a statement with a result; lost throws it away.
func (c *conn) doOr(statement string, lost, run func() error) error {
	if c.broken {
		return driver.ErrBadConn
	}
	fault := c.hook(statement)
	if fault.err == nil {
		return run()
	}
	if fault.after {
		if err := run(); err != nil {
			return err
		}
		if err := lost(); err != nil {
			return err
		}
	}
	if fault.cut {
		c.cut()
	}
	return fault.err
}

// cut closes the connection to the server, also where inner is a database of Open's itself.
func (c *conn) cut() {
	c.broken = true
	if inner, ok := c.Conn.(*conn); ok {
		inner.cut()
	}
	// ErrBadConn makes the inner pool close the connection.
	_ = c.borrowed.Raw(func(any) error { return driver.ErrBadConn })
}

func (c *conn) IsValid() bool { return !c.broken }

func (c *conn) Close() error {
	err := c.borrowed.Close()
	if c.broken || errors.Is(err, sql.ErrConnDone) {
		return nil
	}
	return err
}

func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (inTx driver.Tx, err error) {
	err = c.do(Begin, func() error {
		inner, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
		inTx = tx{conn: c, Tx: inner}
		return err
	})
	return inTx, err
}

func (c *conn) ExecContext(
	ctx context.Context, query string, args []driver.NamedValue,
) (result driver.Result, err error) {
	err = c.do(query, func() (err error) {
		result, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
		if !errors.Is(err, driver.ErrSkip) {
			return err
		}
		// go-sql-driver asks to have statements with parameters prepared.
		statement, err := c.Conn.Prepare(query)
		if err != nil {
			return err
		}
		result, err = statement.(driver.StmtExecContext).ExecContext(ctx, args)
		return errors.Join(err, statement.Close())
	})
	return result, err
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	// Rows whose answer is lost are closed before the connection is, as a server does:
	// SQLite would keep an open statement's locks.
	lost := func() error { r := rows; rows = nil; return r.Close() }
	err = c.doOr(query, lost, func() (err error) {
		rows, err = c.query(ctx, query, args)
		return err
	})
	return rows, err
}

func (c *conn) query(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
	if !errors.Is(err, driver.ErrSkip) {
		return rows, err
	}
	statement, err := c.Conn.Prepare(query)
	if err != nil {
		return nil, err
	}
	rows, err = statement.(driver.StmtQueryContext).QueryContext(ctx, args)
	if err != nil {
		return nil, errors.Join(err, statement.Close())
	}
	return preparedRows{Rows: rows, statement: statement}, nil
}

// preparedRows closes the statement with its rows.
type preparedRows struct {
	driver.Rows
	statement driver.Stmt
}

func (r preparedRows) Close() error { return errors.Join(r.Rows.Close(), r.statement.Close()) }

func (c *conn) CheckNamedValue(value *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(value)
	}
	return driver.ErrSkip
}

type tx struct {
	driver.Tx
	conn *conn
}

// Commit rolls back after a fault that leaves the connection: database/sql gives it
// to the next user as it is.
func (t tx) Commit() error {
	err := t.conn.do(Commit, t.Tx.Commit)
	if err != nil && !t.conn.broken {
		_ = t.Tx.Rollback()
	}
	return err
}

func (t tx) Rollback() error { return t.conn.do(Rollback, t.Tx.Rollback) }
