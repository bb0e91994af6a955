package conformance

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/faultdb"
	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/relay"
)

// installation is a migrated database, with its names.
type installation struct {
	db    dbtest.Database
	names sqldb.Names
	ob    *outbox.Outbox
}

// install makes the tables, and beside them two of a service's own.
func install(t testing.TB, db dbtest.Database, prefix, schema string) installation {
	t.Helper()
	recorded := faultdb.Open(db.DB, recorders[db.Dialect].Hook)
	t.Cleanup(func() { _ = recorded.Close() })
	db.DB = recorded
	_, err := migrations.Apply(
		t.Context(), db.DB, db.Dialect, migrations.Options{Prefix: prefix, Schema: schema, Only: migrations.OutboxOnly},
	)
	require.NoError(t, err)
	opts := []outbox.Option{outbox.WithTablePrefix(prefix)}
	if schema != "" {
		opts = append(opts, outbox.WithSchema(schema))
	}
	ob, err := outbox.New(db.Dialect, opts...)
	require.NoError(t, err)
	for _, table := range []string{
		"aggregates (id varchar(64) PRIMARY KEY, version bigint NOT NULL)", "early (note varchar(64) NOT NULL)",
	} {
		_, err = db.DB.ExecContext(t.Context(), "CREATE TABLE IF NOT EXISTS "+table)
		require.NoError(t, err)
	}
	return installation{db: db, names: sqldb.Names{Dialect: db.Dialect, Prefix: prefix, Schema: schema}, ob: ob}
}

// world is an installation with an empty outbox, a sink, and what a scenario needs.
type world struct {
	installation
	t    testing.TB
	sink *sink
	cfg  relay.Config
}

// newWorld empties the installation: scenarios share it, because making one takes longer
// than most of them.
func newWorld(t testing.TB, in installation) *world {
	t.Helper()
	w := &world{installation: in, t: t, sink: &sink{}}
	// The lease is long: under load a short one is lost, and rightly so.
	w.cfg = relay.Config{
		DB: in.db.DB, Dialect: in.db.Dialect, TablePrefix: in.names.Prefix, Schema: in.names.Schema,
		LeaseTTL: time.Minute, PollMax: 5 * time.Millisecond, DrainTimeout: 20 * time.Second,
		RetryMin: time.Millisecond, RetryMax: 20 * time.Millisecond,
	}
	var log syncBuffer
	w.cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("what the relays logged:\n" + log.String())
		}
	})
	w.restartIDs()
	w.exec("DELETE FROM aggregates")
	w.exec("DELETE FROM {outbox_parked}")
	// A relay of the scenario before could not take its heartbeat back, if the database was slow: this one would wait
	// for it.
	w.exec("DELETE FROM {outbox_relays}")
	w.exec("UPDATE {outbox_leases} SET source = NULL, owner = NULL, expires_at = NULL, hints = '{}'")
	return w
}

// syncBuffer is a buffer for several writers.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// relay makes a relay to the world's sink.
func (w *world) relay() *relay.Relay {
	w.t.Helper()
	return w.relayTo(w.sink)
}

func (w *world) relayTo(s relay.Sink) *relay.Relay {
	w.t.Helper()
	cfg := w.cfg
	cfg.Sink = s
	r, err := relay.New(cfg)
	require.NoError(w.t, err)
	return r
}

// running is a relay at work.
type running struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // once done is closed
}

func (w *world) start() *running { return w.startTo(w.sink) }

func (w *world) startTo(s relay.Sink) *running {
	w.t.Helper()
	r := w.relayTo(s)
	ctx, cancel := context.WithCancel(context.Background())
	run := &running{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(run.done)
		run.err = r.Run(ctx)
	}()
	w.t.Cleanup(func() {
		if err := run.stop(); err != nil {
			w.t.Log("Run returned:", err)
		}
	})
	return run
}

// stop drains the relay and returns what Run returned.
func (r *running) stop() error {
	r.cancel()
	<-r.done
	return r.err
}

// wait waits until Run returns by itself.
func (r *running) wait(t testing.TB) error {
	t.Helper()
	select {
	case <-r.done:
	case <-time.After(patience):
		require.FailNow(t, "Run did not return")
	}
	return r.err
}

// exec runs plain SQL. {outbox_events} and the like become the installation's names.
func (w *world) exec(query string, args ...any) {
	w.t.Helper()
	_, err := w.db.DB.ExecContext(context.Background(), w.names.Expand(query), args...)
	require.NoError(w.t, err, query)
}

func (w *world) number(query string) (n int64) {
	w.t.Helper()
	require.NoError(w.t, w.db.DB.QueryRowContext(context.Background(), w.names.Expand(query)).Scan(&n), query)
	return n
}

func (w *world) rows() int64 { return w.number("SELECT COUNT(*) FROM {outbox_events}") }

func (w *world) waitEmpty() {
	w.t.Helper()
	eventually(w.t, "the outbox is empty", func() bool { return w.rows() == 0 })
}

func (w *world) waitPublished(n int) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("%d records are published", n), func() bool { return w.sink.count() >= n })
}

// begin opens a transaction that is rolled back when the scenario ends, if it still is open.
func (w *world) begin() *sql.Tx {
	w.t.Helper()
	tx, err := w.db.DB.BeginTx(context.Background(), nil)
	require.NoError(w.t, err)
	w.t.Cleanup(func() {
		if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
			w.t.Log("roll back:", err)
		}
	})
	return tx
}

func (w *world) postgres() bool { return w.db.Dialect == sqldb.PostgreSQL }
func (w *world) mysql() bool    { return w.db.Dialect == sqldb.MySQL }
func (w *world) sqlite() bool   { return w.db.Dialect == sqldb.SQLite }

func event(key, value string) outbox.Event {
	return outbox.Event{Topic: "orders", Key: key, Payload: []byte(value)}
}

func (w *world) add(tx *sql.Tx, events ...outbox.Event) {
	w.t.Helper()
	require.NoError(w.t, w.ob.Add(context.Background(), tx, events...))
}

// commit writes events of one key in a transaction of their own.
func (w *world) commit(key string, values ...string) {
	w.t.Helper()
	var events []outbox.Event
	for _, v := range values {
		events = append(events, event(key, v))
	}
	w.commitEvents(events...)
}

func (w *world) commitEvents(events ...outbox.Event) {
	w.t.Helper()
	tx := w.begin()
	w.add(tx, events...)
	require.NoError(w.t, tx.Commit())
}

// restartIDs empties the table and makes the ids begin at 1, as a restore to an
// older state would.
func (w *world) restartIDs() {
	w.t.Helper()
	switch w.db.Dialect {
	case sqldb.PostgreSQL:
		w.exec("TRUNCATE {outbox_events} RESTART IDENTITY")
	case sqldb.MySQL:
		w.exec("DELETE FROM {outbox_events}")
		w.exec("ALTER TABLE {outbox_events} AUTO_INCREMENT = 1")
	case sqldb.SQLite:
		w.exec("DELETE FROM {outbox_events}")
		w.exec("DELETE FROM sqlite_sequence WHERE name = ?", w.names.Plain(sqldb.Events))
	}
}

// numbered returns prefix1 to prefix‹n›.
func numbered(prefix string, n int) []string {
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprint(prefix, i+1)
	}
	return values
}

// requireOrder checks that the values of a key are numbered from 1 to n, each once and
// in order. It names the first that is not.
func requireOrder(t testing.TB, values []string, key string, n int) {
	t.Helper()
	i := 0
	for _, v := range values {
		if strings.HasPrefix(v, key) {
			i++
			require.Equal(t, fmt.Sprint(key, i), v, "number %d of key %q", i, key)
		}
	}
	require.Equal(t, n, i, "values of key %q", key)
}

// requireAll checks that every value was published, whatever the order.
func requireAll(t testing.TB, s *sink, values []string) {
	t.Helper()
	there := make(map[string]bool)
	for _, v := range s.values() {
		there[v] = true
	}
	for _, v := range values {
		require.True(t, there[v], "%q was not published", v)
	}
}

// owner returns the owner in the lease row; empty: nobody.
func (w *world) owner() string {
	w.t.Helper()
	var owner sql.NullString
	q := w.names.Expand("SELECT owner FROM {outbox_leases} WHERE id = 1")
	require.NoError(w.t, w.db.DB.QueryRowContext(context.Background(), q).Scan(&owner))
	return owner.String
}
