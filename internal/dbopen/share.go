package dbopen

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"time"
)

// Queue hears whether connections have to be waited for. Its methods may be called from
// many goroutines at a time.
type Queue interface {
	// Waiting is called when a connection has been waited for for some seconds.
	Waiting()
	// Served is called when one was had without such a wait.
	Served()
}

// queuePatience is how long a connection is waited for before the Queue hears of it.
const queuePatience = 5 * time.Second

// Share returns a database that borrows db's connections, at most most of them at a time,
// and gives each back after its statement or transaction. Users of one db that each have
// such a share cannot take all of its connections from one another. Whoever waits for a
// connection is served in turn.
//
// The caller closes it before db. Its own limits of open and idle connections are not to
// be changed. queue may be nil.
func Share(db *sql.DB, most int, queue Queue) *sql.DB {
	share := sql.OpenDB(lender{db: db, queue: queue})
	share.SetMaxOpenConns(most)
	share.SetMaxIdleConns(-1) // what is not in use is db's
	return share
}

type lender struct {
	db    *sql.DB
	queue Queue
}

func (l lender) Driver() driver.Driver { return l.db.Driver() }

// Connect borrows a connection, which db has looked after: one that broke is not handed
// out, and the session of one that was used before is reset.
func (l lender) Connect(ctx context.Context) (driver.Conn, error) {
	borrowed, err := l.wait(ctx)
	if err != nil {
		return nil, err
	}
	c := &lent{borrowed: borrowed}
	err = borrowed.Raw(func(conn any) error {
		inner, ok := conn.(driver.Conn)
		if !ok {
			return errors.New("the driver's connection is none")
		}
		c.Conn = inner
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, borrowed.Close())
	}
	return c, nil
}

func (l lender) wait(ctx context.Context) (*sql.Conn, error) {
	if l.queue == nil {
		return l.db.Conn(ctx)
	}
	late := time.AfterFunc(queuePatience, l.queue.Waiting)
	conn, err := l.db.Conn(ctx)
	if late.Stop() && err == nil {
		l.queue.Served()
	}
	return conn, err
}

// lent is a borrowed connection. It has every optional method that database/sql looks for
// and that the drivers here have; where one of them lacks it, ErrSkip says so.
type lent struct {
	driver.Conn
	borrowed *sql.Conn
}

func (c *lent) Close() error { return c.borrowed.Close() }

// ResetSession does nothing: db does it when it lends the connection again.
func (c *lent) ResetSession(context.Context) error { return nil }

func (c *lent) IsValid() bool {
	v, ok := c.Conn.(driver.Validator)
	return !ok || v.IsValid()
}

func (c *lent) Ping(ctx context.Context) error {
	if p, ok := c.Conn.(driver.Pinger); ok {
		return p.Ping(ctx)
	}
	return nil
}

func (c *lent) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	b, ok := c.Conn.(driver.ConnBeginTx)
	if !ok {
		return nil, errors.New("the driver's transactions take no context")
	}
	return b.BeginTx(ctx, opts)
}

func (c *lent) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if p, ok := c.Conn.(driver.ConnPrepareContext); ok {
		return p.PrepareContext(ctx, query)
	}
	return c.Prepare(query)
}

func (c *lent) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if e, ok := c.Conn.(driver.ExecerContext); ok {
		return e.ExecContext(ctx, query, args)
	}
	return nil, driver.ErrSkip
}

func (c *lent) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if q, ok := c.Conn.(driver.QueryerContext); ok {
		return q.QueryContext(ctx, query, args)
	}
	return nil, driver.ErrSkip
}

func (c *lent) CheckNamedValue(value *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(value)
	}
	return driver.ErrSkip
}
