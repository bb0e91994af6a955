package dbopen_test

import (
	"context"
	"database/sql"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dbtest"
)

func TestAShareTakesNoMoreConnectionsThanItsOwn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		target, err := dbopen.Open(t.Context(), db.URL, dbopen.WithMaxOpen(3))
		require.NoError(t, err)
		defer func() { require.NoError(t, target.DB.Close()) }()
		greedy, modest := dbopen.Share(target.DB, 2, nil), dbopen.Share(target.DB, 2, nil)
		defer func() { require.NoError(t, greedy.Close()) }()
		defer func() { require.NoError(t, modest.Close()) }()

		// It holds what it may, and wants more.
		var held []*sql.Conn
		for range 2 {
			conn, err := greedy.Conn(t.Context())
			require.NoError(t, err)
			held = append(held, conn)
		}
		ctx, stop := context.WithCancel(t.Context())
		wants := make(chan error)
		go func() {
			_, err := greedy.Conn(ctx)
			wants <- err
		}()
		// The other one reads and writes all the same, with parameters and in transactions.
		_, err = modest.ExecContext(t.Context(), "CREATE TABLE shared (n integer)")
		require.NoError(t, err)
		for range 5 {
			tx, err := modest.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			parameter := map[bool]string{true: "$1", false: "?"}[db.Dialect == "postgresql"]
			_, err = tx.ExecContext(t.Context(), "INSERT INTO shared VALUES ("+parameter+")", 7)
			require.NoError(t, err)
			require.NoError(t, tx.Commit())
		}
		var n int
		require.NoError(t, modest.QueryRowContext(t.Context(), "SELECT sum(n) FROM shared").Scan(&n))
		require.Equal(t, 35, n)
		require.LessOrEqual(t, target.DB.Stats().OpenConnections, 3)

		stop()
		require.ErrorIs(t, <-wants, context.Canceled)
		for _, conn := range held {
			require.NoError(t, conn.Close())
		}
	})
}

// A connection that broke is not lent again.
func TestAShareOutlivesItsConnections(t *testing.T) {
	db := dbtest.PostgreSQL(t)
	target, err := dbopen.Open(t.Context(), db.URL, dbopen.WithMaxOpen(1))
	require.NoError(t, err)
	defer func() { require.NoError(t, target.DB.Close()) }()
	share := dbopen.Share(target.DB, 1, nil)
	defer func() { require.NoError(t, share.Close()) }()
	var pid int
	require.NoError(t, share.QueryRowContext(t.Context(), "SELECT pg_backend_pid()").Scan(&pid))
	conn, err := share.Conn(t.Context())
	require.NoError(t, err)
	_, err = db.DB.ExecContext(t.Context(), "SELECT pg_terminate_backend($1)", pid)
	require.NoError(t, err)
	require.Error(t, conn.PingContext(t.Context()))
	_ = conn.Close() // it is closed already
	var next int
	require.NoError(t, share.QueryRowContext(t.Context(), "SELECT pg_backend_pid()").Scan(&next))
	require.NotEqual(t, pid, next)
}

type queue struct{ waiting, served atomic.Int32 }

func (q *queue) Waiting() { q.waiting.Add(1) }
func (q *queue) Served()  { q.served.Add(1) }

func TestAConnectionThatIsWaitedForLongIsTold(t *testing.T) {
	db := dbtest.SQLite(t)
	target, err := dbopen.Open(t.Context(), db.URL, dbopen.WithMaxOpen(1))
	require.NoError(t, err)
	defer func() { require.NoError(t, target.DB.Close()) }()
	var q queue
	share := dbopen.Share(target.DB, 1, &q)
	defer func() { require.NoError(t, share.Close()) }()
	require.NoError(t, share.PingContext(t.Context()))
	require.EqualValues(t, 1, q.served.Load())

	held, err := target.DB.Conn(t.Context())
	require.NoError(t, err)
	had := make(chan error)
	go func() { had <- share.PingContext(t.Context()) }()
	require.Eventually(t, func() bool { return q.waiting.Load() == 1 }, time.Minute, 20*time.Millisecond)
	require.NoError(t, held.Close())
	require.NoError(t, <-had)
	require.EqualValues(t, 1, q.served.Load(), "it was not had without a wait")
	require.NoError(t, share.PingContext(t.Context()))
	require.EqualValues(t, 2, q.served.Load())
}
