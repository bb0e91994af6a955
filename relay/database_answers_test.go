package relay

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/health"
)

// silent does not answer its first read, probe and delete, like a connection that was dropped without a sign.
type silent struct {
	database
	read, look, delete atomic.Bool
}

func (s *silent) Read(ctx context.Context, q store.ReadQuery,
	visit func(*store.Row) bool) (store.ReadInfo, error) {
	if s.read.CompareAndSwap(true, false) {
		<-ctx.Done()
		return store.ReadInfo{}, ctx.Err()
	}
	return s.database.Read(ctx, q, visit)
}

func (s *silent) OpenWriters(ctx context.Context) (store.Writers, error) {
	if s.look.CompareAndSwap(true, false) {
		<-ctx.Done()
		return store.Writers{}, ctx.Err()
	}
	return s.database.OpenWriters(ctx)
}

func (s *silent) Delete(ctx context.Context, l store.Lease, d store.Deletion) (int64, error) {
	if s.delete.CompareAndSwap(true, false) {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return s.database.Delete(ctx, l, d)
}

func TestAnAnswerThatNeverComesHoldsUpNothingForLong(t *testing.T) {
	for name, arm := range map[string]func(*silent){
		"to a read":   func(s *silent) { s.read.Store(true) },
		"to a look":   func(s *silent) { s.look.Store(true) },
		"to a delete": func(s *silent) { s.delete.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
			b.cfg.answerTimeout = 200 * time.Millisecond
			lost := &silent{}
			arm(lost)
			b.naive = func(s database) database { lost.database = s; return lost }
			b.commit("k", "gone", "k1", "k2")
			b.exec("DELETE FROM outbox_events WHERE id = 1") // makes a gap, so that the relay probes the writers
			stop := b.start()
			eventually(t, "all are delivered", func() bool {
				return b.empty() && !lost.read.Load() && !lost.look.Load() && !lost.delete.Load()
			})
			b.commit("k", "k3")
			eventually(t, "and later ones", func() bool { return contains(b.sink.values(), "k3") && b.empty() })
			require.NoError(t, stop())
			require.Equal(t, []string{"k1", "k2", "k3"}, b.sink.values())
		})
	}
}

// hangsOnce does not answer the first renewal.
type hangsOnce struct {
	database
	tries atomic.Int64
	done  func()
}

func (h *hangsOnce) Renew(ctx context.Context, _ store.Lease, _ time.Duration) error {
	if h.tries.Add(1) == 1 {
		<-ctx.Done()
		return ctx.Err()
	}
	h.done()
	return nil
}

func TestARenewalWithoutAnAnswerIsTriedAgainWhileTheLeaseHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // its time does not depend on the machine's speed
		ctx, cancel := context.WithCancel(t.Context())
		h := &hangsOnce{done: cancel}
		k := newKeeper(ctx, h, store.Lease{}, 4*time.Second, time.Now())
		k.renewLoop(func() {})
		require.EqualValues(t, 2, h.tries.Load())
		require.NotErrorIs(t, context.Cause(k.ctx), errLeaseExpired)
	})
}

func TestARelayThatMayNotDeleteDoesNotStart(t *testing.T) {
	for name, server := range map[string]func(testing.TB) dbtest.Database{
		"postgresql": dbtest.PostgreSQL, "mariadb": dbtest.MariaDB,
	} {
		for missing, grants := range map[string][]string{
			"DELETE on the events": {"SELECT ON outbox_events", "SELECT, UPDATE ON outbox_leases"},
			"SELECT on the events": {"DELETE ON outbox_events", "SELECT, UPDATE ON outbox_leases"},
			"UPDATE on the lease":  {"SELECT, DELETE ON outbox_events", "SELECT ON outbox_leases"},
		} {
			t.Run(name+", "+missing, func(t *testing.T) {
				db := dbtest.Migrate(t, server(t))
				b := newBench(t, db)
				b.commit("k", "k1")
				b.exec("UPDATE outbox_leases SET source = 'default'")
				b.db = dbtest.Restricted(t, db, grants...)
				r := b.relay()
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				err := r.Run(ctx)
				require.True(t, sqldb.IsDenied(err), "%v", err)
				require.ErrorContains(t, err, "docs/tables.md")
				require.Zero(t, b.sink.count(), "it would be sent again at each start")
			})
		}
	}
}

// lines counts log lines by their message.
type lines struct {
	slog.Handler
	mu  sync.Mutex
	all []string
}

func (l *lines) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *lines) Enabled(context.Context, slog.Level) bool { return true }
func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	l.all = append(l.all, text)
	return nil
}

func (l *lines) count(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// Reads succeed while deletes fail. Neither may log that the other has recovered.
func TestAnOutageOfTheDeletesIsToldOnce(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	gone, failed := &away{}, &atomic.Int64{}
	gone.broken.Store(true)
	gone.failed = failed
	count := &counting{}
	b.naive = func(s database) database { gone.database = s; count.database = gone; return count }
	log := &lines{}
	r := b.relay()
	r.log = slog.New(log)
	r.health = health.New(r.log)
	b.commit("k", "k1")
	stop := start(t, r)
	eventually(t, "deletes fail, reads do not", func() bool { return failed.Load() > 5 })
	count.waitForMore(t, 5, 0)
	eventually(t, "deletes fail again", func() bool { return failed.Load() > 10 })
	require.Equal(t, 1, log.count("delivery paused"))
	require.Zero(t, log.count("delivery resumed"))
	require.Equal(t, 1, log.count(errors.New("connection refused").Error()))
	gone.broken.Store(false)
	eventually(t, "the row is deleted", b.empty)
	require.NoError(t, stop())
	require.Equal(t, 1, log.count("delivery resumed"))
}

// Hazard failed-delete.
// A trigger keeps the rows in the table, and the delete reports no error. The rows must not be sent again and
// again.
func TestRowsThatOutliveTheirDeleteAreNotSentAgain(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	b.exec("CREATE TRIGGER keep BEFORE DELETE ON outbox_events BEGIN SELECT RAISE(IGNORE); END")
	count := &counting{}
	b.naive = func(s database) database { count.database = s; return count }
	log := &lines{}
	r := b.relay()
	r.log = slog.New(log)
	r.health = health.New(r.log)
	b.commit("k", "k1", "k2")
	stop := start(t, r)
	eventually(t, "it is told, or sent again",
		func() bool { return log.count("still there") > 0 || b.sink.count() > 2 })
	count.waitForMore(t, 10, 0)
	require.Equal(t, []string{"k1", "k2"}, b.sink.values())
	b.exec("DROP TRIGGER keep")
	eventually(t, "they are deleted", b.empty)
	require.NoError(t, stop())
	require.Equal(t, []string{"k1", "k2"}, b.sink.values())
	require.Equal(t, 1, log.count("delivery paused"))
}
