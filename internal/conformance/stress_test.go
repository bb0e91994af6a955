package conformance

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/history"
	"github.com/postroom/postroom/outbox"
)

// load is what the writers of a stress test do.
type load struct {
	*world
	topic   string
	writers int
	keys    int
	atLeast time.Duration // they write for so long,
	events  int64         // and on until so many events are committed,
	atMost  time.Duration // but no longer than this

	written   atomic.Int64
	rolled    atomic.Int64
	mu        sync.Mutex
	committed []history.Event
}

// TestWriterStress is the promise under load: 32 writers, of whom one transaction in
// ten rolls back and one in two has its transaction's id long before the event's, a
// relay that keeps up with them, and a real Kafka.
func TestWriterStress(t *testing.T) {
	for name, server := range map[string]func(testing.TB) dbtest.Database{
		"postgresql15": dbtest.PostgreSQL, "mariadb": dbtest.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &load{writers: 32, keys: 200, atLeast: 30 * time.Second, events: 20_000, atMost: 4 * time.Minute}
			if testing.Short() {
				l.atLeast, l.events = l.atLeast/6, l.events/6
			}
			l.stress(t, newWorld(t, install(t, server(t), "", "")))
		})
	}
}

// TestThroughPgBouncer takes the full path, writers and relay alike, through a pooler in
// transaction mode.
func TestThroughPgBouncer(t *testing.T) {
	t.Parallel()
	l := &load{writers: 8, keys: 20, atLeast: 2 * time.Second, events: 500, atMost: time.Minute}
	l.stress(t, newWorld(t, install(t, dbtest.PgBouncer(t), "", "")))
}

func (l *load) stress(t *testing.T, w *world) {
	l.world, l.topic = w, dbtest.Topic(t, 8)
	for i := range l.keys {
		l.aggregate(key(i))
	}
	run := l.startTo(kafkaSink(t))
	begun := time.Now()
	l.write()
	wrote := time.Since(begun)
	left := l.rows()
	l.waitEmpty()
	require.NoError(t, run.stop())
	t.Logf("%d events by %d writers in %v, %d transactions rolled back; %d were left at the end, delivered %v later",
		len(l.committed), l.writers, wrote.Round(time.Millisecond), l.rolled.Load(), left,
		(time.Since(begun) - wrote).Round(time.Millisecond))
	require.GreaterOrEqual(t, int64(len(l.committed)), l.events)
	require.Greater(t, l.rolled.Load()*20, l.events/3, "hardly anything was rolled back")
	l.requireFaultless(l.committed, l.topic)
}

func key(i int) string { return fmt.Sprint("order-", i) }

// write runs the writers until they have done enough.
func (l *load) write() {
	begun := time.Now()
	enough := func() bool {
		passed := time.Since(begun)
		return passed >= l.atMost || passed >= l.atLeast && l.written.Load() >= l.events
	}
	failures := make(chan error, l.writers)
	var all sync.WaitGroup
	for range l.writers {
		all.Go(func() {
			for !enough() {
				if err := l.transaction(context.Background()); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(failures)
	require.NoError(l.t, errors.Join(drain(failures)...))
}

func drain(c chan error) (all []error) {
	for err := range c {
		all = append(all, err)
	}
	return all
}

var errRolledBack = errors.New("rolled back on purpose")

// transaction changes one aggregate and writes its events, as a service would: the row is
// locked first, so the writers of a key wait for one another.
func (l *load) transaction(ctx context.Context) error {
	events, err := l.tryTransaction(ctx)
	if errors.Is(err, errRolledBack) {
		l.rolled.Add(1)
		return nil
	}
	if err != nil {
		return err
	}
	l.written.Add(int64(len(events)))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.committed = append(l.committed, events...)
	return nil
}

func (l *load) tryTransaction(ctx context.Context) (events []history.Event, err error) {
	tx, err := l.db.DB.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }()
	if rand.N(2) == 0 {
		if err := l.takeIDEarly(ctx, tx); err != nil {
			return nil, err
		}
	}
	pause(ctx)
	aggregate := key(rand.N(l.keys))
	var version int64
	if err := tx.QueryRowContext(
		ctx, l.placeholders("SELECT version FROM aggregates WHERE id = ? FOR UPDATE"), aggregate,
	).Scan(&version); err != nil {
		return nil, err
	}
	pause(ctx)
	for range 1 + rand.N(4) {
		version++
		payload := fmt.Append(nil, version)
		e := history.Event{
			Topic: l.topic, Key: aggregate, Version: version, ID: uuid.New(), Sum: crc32.ChecksumIEEE(payload),
		}
		if err := l.ob.Add(ctx, tx, outbox.Event{ID: e.ID, Topic: e.Topic, Key: e.Key, Payload: payload}); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	if _, err := tx.ExecContext(
		ctx, l.placeholders("UPDATE aggregates SET version = ? WHERE id = ?"), version, aggregate,
	); err != nil {
		return nil, err
	}
	pause(ctx)
	if rand.N(10) == 0 {
		return nil, errRolledBack
	}
	return events, tx.Commit()
}

// takeIDEarly gives the transaction its id before it waits for anything, so that the
// order of transaction ids, of row ids and of commits are three orders.
func (l *load) takeIDEarly(ctx context.Context, tx *sql.Tx) error {
	if l.postgres() {
		_, err := tx.ExecContext(ctx, "SELECT pg_current_xact_id()")
		return err
	}
	_, err := tx.ExecContext(ctx, l.placeholders("INSERT INTO early (note) VALUES (?)"), "x")
	return err
}

// pause is the time that a service takes for something else: mostly none, some
// milliseconds, and now and then so long that hundreds of others commit meanwhile.
func pause(ctx context.Context) {
	var long time.Duration
	switch n := rand.N(1000); {
	case n < 2:
		long = 300 * time.Millisecond
	case n < 300:
		long = rand.N(8 * time.Millisecond)
	default:
		return
	}
	select {
	case <-time.After(long):
	case <-ctx.Done():
	}
}
