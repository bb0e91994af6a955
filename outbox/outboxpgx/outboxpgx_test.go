package outboxpgx_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/outbox/outboxpgx"
	"github.com/postroom/postroom/outbox/outboxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var modes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
	pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
}

// throughPoolers are the modes that keep nothing on a server connection.
var throughPoolers = []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol}

func pool(t testing.TB, url string, mode pgx.QueryExecMode) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	cfg.ConnConfig.DefaultQueryExecMode = mode
	p, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

func newOutbox(t testing.TB, opts ...outbox.Option) *outbox.Outbox {
	t.Helper()
	ob, err := outbox.New(outbox.PostgreSQL, opts...)
	require.NoError(t, err)
	return ob
}

func someEvents() []outbox.Event {
	var all []byte
	for b := range 256 {
		all = append(all, byte(b))
	}
	return []outbox.Event{
		{
			Topic: "orders", Key: "O'Brien \\ ü 🛒 ", Type: "order.placed", Payload: all,
			Headers: map[string]string{"a": `"quoted" $1 ?`},
		},
		{Topic: "orders", Payload: []byte{}},
		{Topic: "orders", Key: "k"},
	}
}

func TestAddWritesInEveryQueryMode(t *testing.T) {
	for server, c := range map[string]struct {
		open  func(testing.TB) dbtest.Database
		modes []pgx.QueryExecMode
	}{
		"postgresql15": {dbtest.PostgreSQL, modes},
		"postgresql18": {dbtest.PostgreSQL18, modes},
		"pgbouncer":    {dbtest.PgBouncer, throughPoolers},
	} {
		t.Run(server, func(t *testing.T) {
			db := dbtest.Migrate(t, c.open(t))
			for _, mode := range c.modes {
				t.Run(mode.String(), func(t *testing.T) {
					_, err := db.DB.ExecContext(t.Context(), "DELETE FROM outbox_events")
					require.NoError(t, err)
					p := pool(t, db.URL, mode)
					for _, ob := range []*outbox.Outbox{newOutbox(t), newOutbox(t, outbox.StrictKeyOrder())} {
						events := someEvents()
						err := pgx.BeginFunc(t.Context(), p, func(tx pgx.Tx) error {
							return outboxpgx.Add(t.Context(), ob, tx, events...)
						})
						require.NoError(t, err)
						outboxtest.RequireEvents(t, db.DB, ob, events...)
						_, err = db.DB.ExecContext(t.Context(), "DELETE FROM outbox_events")
						require.NoError(t, err)
					}
				})
			}
		})
	}
}

func TestAddFollowsTheTransaction(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.PostgreSQL(t))
	p, ob := pool(t, db.URL, pgx.QueryExecModeCacheStatement), newOutbox(t)
	failed := errors.New("the caller's own")

	err := pgx.BeginFunc(t.Context(), p, func(tx pgx.Tx) error {
		require.NoError(t, outboxpgx.Add(t.Context(), ob, tx, outbox.Event{Topic: "t", Key: "rolled back"}))
		return failed
	})
	require.ErrorIs(t, err, failed)
	outboxtest.RequireEvents(t, db.DB, ob)

	err = pgx.BeginFunc(t.Context(), p, func(tx pgx.Tx) error {
		require.NoError(t, outboxpgx.Add(t.Context(), ob, tx, outbox.Event{Topic: "t", Key: "outer"}))
		err := pgx.BeginFunc(t.Context(), tx, func(nested pgx.Tx) error {
			require.NoError(t, outboxpgx.Add(t.Context(), ob, nested, outbox.Event{Topic: "t", Key: "inner"}))
			return failed
		})
		require.ErrorIs(t, err, failed)
		return pgx.BeginFunc(t.Context(), tx, func(nested pgx.Tx) error {
			return outboxpgx.Add(t.Context(), ob, nested, outbox.Event{Topic: "t", Key: "second inner"})
		})
	})
	require.NoError(t, err)
	outboxtest.RequireEvents(
		t, db.DB, ob, outbox.Event{Topic: "t", Key: "outer"}, outbox.Event{Topic: "t", Key: "second inner"},
	)
}

func TestAddKeepsTheOrderOfManyEvents(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.PostgreSQL(t))
	p, ob := pool(t, db.URL, pgx.QueryExecModeCacheStatement), newOutbox(t)
	events := make([]outbox.Event, 12_000) // more than the 10,922 of one statement
	for i := range events {
		events[i] = outbox.Event{Topic: "t", Key: fmt.Sprint(i)}
	}
	require.NoError(t, pgx.BeginFunc(t.Context(), p, func(tx pgx.Tx) error {
		return outboxpgx.Add(t.Context(), ob, tx, events...)
	}))
	outboxtest.RequireEvents(t, db.DB, ob, events...)
}

func TestEventsAreScheduledAndCancelledInEveryQueryMode(t *testing.T) {
	for server, c := range map[string]struct {
		open  func(testing.TB) dbtest.Database
		modes []pgx.QueryExecMode
	}{"postgresql15": {dbtest.PostgreSQL, modes}, "pgbouncer": {dbtest.PgBouncer, throughPoolers}} {
		t.Run(server, func(t *testing.T) {
			db, ob := dbtest.Migrate(t, c.open(t)), newOutbox(t)
			for _, mode := range c.modes {
				t.Run(mode.String(), func(t *testing.T) {
					p, events := pool(t, db.URL, mode), someEvents()
					for i := range events {
						events[i].DeliverAt = time.Date(2040, 1, 1, 0, 0, i, 1000, time.UTC)
					}
					var cancelled int64
					require.NoError(t, pgx.BeginFunc(t.Context(), p, func(tx pgx.Tx) (err error) {
						require.NoError(t, outboxpgx.Add(t.Context(), ob, tx, events...))
						cancelled, err = outboxpgx.Cancel(t.Context(), ob, tx, events[1].ID, events[2].ID)
						return err
					}))
					require.EqualValues(t, 2, cancelled)
					require.Equal(t, events[:1], outboxtest.Scheduled(t, db.DB, ob))
					require.NoError(t, pgx.BeginFunc(t.Context(), p, func(tx pgx.Tx) (err error) {
						cancelled, err = outboxpgx.Cancel(t.Context(), ob, tx, events[0].ID, events[1].ID)
						return err
					}))
					require.EqualValues(t, 1, cancelled)
				})
			}
		})
	}
	mysql, err := outbox.New(outbox.MySQL)
	require.NoError(t, err)
	_, err = outboxpgx.Cancel(t.Context(), mysql, nil, uuid.New())
	require.ErrorIs(t, err, outboxpgx.ErrNotPostgreSQL)
	_, err = outboxpgx.Cancel(t.Context(), newOutbox(t), nil, uuid.New())
	require.ErrorIs(t, err, outbox.ErrNoTransaction)
}

func TestAddRefusesWhatCannotWork(t *testing.T) {
	db := dbtest.PostgreSQL(t) // without tables
	p := pool(t, db.URL, pgx.QueryExecModeCacheStatement)
	event := outbox.Event{Topic: "t"}

	mysql, err := outbox.New(outbox.MySQL)
	require.NoError(t, err)
	require.ErrorIs(t, outboxpgx.Add(t.Context(), mysql, nil, event), outboxpgx.ErrNotPostgreSQL)

	ob := newOutbox(t)
	require.ErrorIs(t, outboxpgx.Add(t.Context(), ob, nil, event), outbox.ErrNoTransaction)
	require.ErrorIs(t, outboxpgx.Add(t.Context(), ob, (*pgxpool.Tx)(nil), event), outbox.ErrNoTransaction)

	tx, err := p.Begin(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, outboxpgx.Add(t.Context(), ob, tx, outbox.Event{}), outbox.ErrNoTopic)
	require.ErrorContains(t, outboxpgx.Add(t.Context(), ob, tx, event), "relay migrate up")
	require.NoError(t, tx.Rollback(t.Context()))
	err = outboxpgx.Add(t.Context(), ob, tx, event)
	require.ErrorIs(t, err, pgx.ErrTxClosed)
	require.ErrorContains(t, err, "add events before Commit")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tx, err = p.Begin(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, outboxpgx.Add(ctx, ob, tx, event), context.Canceled)
	_ = tx.Rollback(t.Context())
}

func TestTxRunsStatementsAndRefusesQueries(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.PostgreSQL(t))
	p := pool(t, db.URL, pgx.QueryExecModeCacheStatement)
	for _, commit := range []bool{true, false} {
		raw, err := p.Begin(t.Context())
		require.NoError(t, err)
		tx := outboxpgx.Tx(raw)
		result, err := tx.ExecContext(t.Context(), "INSERT INTO outbox_events (topic) VALUES ($1), ($1)", "t")
		require.NoError(t, err)
		n, err := result.RowsAffected()
		require.NoError(t, err)
		require.EqualValues(t, 2, n)
		_, err = result.LastInsertId()
		require.Error(t, err)
		rows, err := tx.QueryContext(t.Context(), "SELECT 1")
		require.ErrorContains(t, err, "query the pgx.Tx itself")
		require.Nil(t, rows)
		if commit {
			require.NoError(t, tx.Commit())
		} else {
			require.NoError(t, tx.Rollback())
		}
	}
	require.Len(t, outboxtest.Events(t, db.DB, newOutbox(t)), 2)
}
