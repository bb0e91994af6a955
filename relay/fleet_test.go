package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/outbox"
)

// realFleet has several relay processes for the sources of one real database.
type realFleet struct {
	t        *testing.T
	db       dbtest.Database
	prefixes []string
	sinks    []*testSink // one for each source, used by every process
	procs    []*realProcess
	log      *lines // of all processes
}

type realProcess struct {
	*Member
	dead  atomic.Bool
	stops []func() error
	runs  sync.WaitGroup
}

func newRealFleet(t *testing.T, db dbtest.Database, sources int) *realFleet {
	f := &realFleet{t: t, db: db, log: &lines{}}
	for i := range sources {
		prefix := fmt.Sprintf("s%d_", i)
		_, err := migrations.Apply(t.Context(), db.DB, db.Dialect,
			migrations.Options{Prefix: prefix, Only: migrations.OutboxOnly})
		require.NoError(t, err)
		f.prefixes, f.sinks = append(f.prefixes, prefix), append(f.sinks, &testSink{})
	}
	return f
}

// mortal is a store whose process can die. After that it sends nothing and receives nothing.
type mortal struct {
	database
	dead *atomic.Bool
}

var errDead = errors.New("this process is dead")

func (m mortal) Renew(ctx context.Context, l store.Lease, ttl time.Duration) error {
	if m.dead.Load() {
		return errDead
	}
	return m.database.Renew(ctx, l, ttl)
}

func (m mortal) HandOver(ctx context.Context, l store.Lease, heir uuid.UUID) error {
	if m.dead.Load() {
		return errDead
	}
	return m.database.HandOver(ctx, l, heir)
}

func (m mortal) Heartbeat(ctx context.Context, me store.Member, window time.Duration, hidden bool) ([]store.Member,
	error) {
	if m.dead.Load() {
		return nil, errDead
	}
	return m.database.Heartbeat(ctx, me, window, hidden)
}

func (m mortal) Leave(ctx context.Context, id uuid.UUID) error {
	if m.dead.Load() {
		return errDead
	}
	return m.database.Leave(ctx, id)
}

func (m mortal) LeaseState(ctx context.Context, ttl time.Duration) (store.LeaseState, error) {
	if m.dead.Load() {
		return store.LeaseState{}, errDead
	}
	return m.database.LeaseState(ctx, ttl)
}

func (m mortal) Claim(ctx context.Context, c store.Claim) (store.Lease, bool, error) {
	if m.dead.Load() {
		return store.Lease{}, false, errDead
	}
	return m.database.Claim(ctx, c)
}

// join starts a process that serves every source.
func (f *realFleet) join(ttl time.Duration) *realProcess {
	p := &realProcess{Member: NewMember()}
	for i, prefix := range f.prefixes {
		r, err := New(Config{
			DB: f.db.DB, Dialect: f.db.Dialect, Sink: f.sinks[i], Source: prefix, TablePrefix: prefix, Member: p.Member,
			LeaseTTL: ttl, Logger: slog.New(f.log),
		})
		require.NoError(f.t, err)
		r.store = mortal{r.store, &p.dead}
		p.stops = append(p.stops, start(f.t, r))
	}
	f.procs = append(f.procs, p)
	return p
}

// crash ends a process without notice to the others.
func (p *realProcess) crash() {
	p.dead.Store(true)
	p.stop()
}

func (p *realProcess) stop() {
	for _, stop := range p.stops {
		p.runs.Go(func() { _ = stop() })
	}
	p.runs.Wait()
}

// owned returns how many sources each of the processes owns.
func owned(procs ...*realProcess) (counts []int) {
	for _, p := range procs {
		counts = append(counts, p.Owned())
	}
	return counts
}

func (f *realFleet) write(value string) {
	f.t.Helper()
	for _, prefix := range f.prefixes {
		ob, err := outbox.New(f.db.Dialect, outbox.WithTablePrefix(prefix))
		require.NoError(f.t, err)
		tx, err := f.db.DB.BeginTx(f.t.Context(), nil)
		require.NoError(f.t, err)
		require.NoError(f.t, ob.Add(f.t.Context(), tx, outbox.Event{Topic: "t", Key: "k", Payload: []byte(value)}))
		require.NoError(f.t, tx.Commit())
	}
}

// settles waits for a certain assignment. It waits long, because a hand-over takes some lease lengths, and a
// busy machine may lose a lease.
func settles(t *testing.T, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, 4*patience, 10*time.Millisecond, what)
}

func (f *realFleet) delivered(value string) bool {
	for _, sink := range f.sinks {
		if !slices.Contains(sink.values(), value) {
			return false
		}
	}
	return true
}

func TestThreeProcessesShareTwelveSourcesEvenlyOnARealDatabase(t *testing.T) {
	for name, server := range map[string]func(testing.TB) dbtest.Database{
		"postgresql": dbtest.PostgreSQL, "mariadb": dbtest.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits for leases
			const ttl = 3 * time.Second
			f := newRealFleet(t, server(t), 12)
			a, b, c := f.join(ttl), f.join(ttl), f.join(ttl)
			f.write("k1")
			settles(t, "four each", func() bool { return slices.Equal(owned(a, b, c), []int{4, 4, 4}) })
			eventually(t, "k1 is delivered", func() bool { return f.delivered("k1") })

			c.crash()
			f.write("k2")
			settles(t, "the two that are left share what it had",
				func() bool { return slices.Equal(owned(a, b), []int{6, 6}) })
			eventually(t, "k2 is delivered", func() bool { return f.delivered("k2") })

			d := f.join(ttl)
			settles(t, "a process that joins gets its share",
				func() bool { return slices.Equal(owned(a, b, d), []int{4, 4, 4}) })
			a.stop()
			f.write("k3")
			settles(t, "a process that leaves passes its own on",
				func() bool { return slices.Equal(owned(b, d), []int{6, 6}) })
			eventually(t, "k3 is delivered", func() bool { return f.delivered("k3") })

			for i, sink := range f.sinks {
				require.Equal(t, []string{"k1", "k2", "k3"}, sink.firstCopies(), f.prefixes[i])
			}
		})
	}
}

// A hand-over is a drain: the records that the sink has arrive, their rows are deleted, and only then does
// the other process begin (hazard early-handover).
func TestHazardAHandOverDuplicatesNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		const ttl = 10 * time.Second
		f := newRealFleet(t, db, 2)
		a := f.join(ttl)
		eventually(t, "a owns both", func() bool { return a.Owned() == 2 })
		b := f.join(ttl)
		n := 0
		settles(t, "one each", func() bool {
			if n == 0 || f.delivered(fmt.Sprint("k", n)) { // on SQLite more writes would cost the lease
				n++
				f.write(fmt.Sprint("k", n))
			}
			return slices.Equal(owned(a, b), []int{1, 1})
		})
		f.write("last")
		eventually(t, "all are delivered", func() bool { return f.delivered("last") })
		a.stop()
		b.stop()
		for i, sink := range f.sinks {
			require.Equal(t, append(numbered("k", n), "last"), sink.values(), "%s; log:\n%s", f.prefixes[i],
				strings.Join(f.log.all, "\n"))
		}
	})
}

// The relay works with tables that are one version older. Without outbox_relays the first process to claim a
// source owns it, and the log says so once.
func TestWithoutTheTableOfRelaysEverythingElseWorks(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.exec("DROP TABLE outbox_relays")
		log := &lines{}
		r := b.relay()
		r.log = slog.New(log)
		b.cfg.LeaseTTL = 2 * time.Second
		stop := start(t, r)
		b.commit("k", "k1")
		eventually(t, "it is delivered", b.empty)
		require.NoError(t, stop())
		stop = b.start()
		b.commit("k", "k2")
		eventually(t, "a released lease is taken over", b.empty)
		require.NoError(t, stop())
		require.Equal(t, 1, log.count("not spread"))
		require.Equal(t, 1, log.count("run `relay migrate up`"))
	})
}
