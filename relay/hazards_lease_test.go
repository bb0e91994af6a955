package relay

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
)

func newStore(t *testing.T, db dbtest.Database) *store.Store {
	st, err := store.New(db.DB, sqldb.Names{Dialect: db.Dialect}, store.Options{})
	require.NoError(t, err)
	return st
}

func claim(t *testing.T, st *store.Store, ttl time.Duration) (store.Lease, bool) {
	t.Helper()
	l, ok, err := st.Claim(context.Background(), store.Claim{Owner: uuid.New(), Mode: string(AtLeastOnce), TTL: ttl})
	require.NoError(t, err)
	return l, ok
}

// Hazard two-names: two relays with two names on one table would both own it.
func TestHazardOneTableHasOneName(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		_, err := db.DB.Exec("INSERT INTO outbox_leases (id) VALUES (2)")
		require.Error(t, err, "outbox_leases must hold one row")

		b := newBench(t, db)
		b.cfg.Source = "orders"
		stop := b.start()
		b.commit("k", "k1")
		eventually(t, "it is delivered", b.empty)
		require.NoError(t, stop())

		b.cfg.Source = "billing"
		err = b.relay().Run(t.Context())
		require.ErrorIs(t, err, ErrWrongSource)
		require.ErrorContains(t, err, `"billing"`)
		require.ErrorContains(t, err, `"orders"`)
	})
	t.Run("without the rule", func(t *testing.T) {
		// This is a naive table of leases by name, in which both names become owners.
		db := dbtest.SQLite(t)
		_, err := db.DB.Exec("CREATE TABLE leases (source TEXT PRIMARY KEY, owner TEXT)")
		require.NoError(t, err)
		for _, name := range []string{"orders", "billing"} {
			_, err := db.DB.Exec("INSERT INTO leases VALUES (?, ?)", name, name)
			require.NoError(t, err)
		}
		var owners int
		require.NoError(t, db.DB.QueryRow("SELECT COUNT(owner) FROM leases").Scan(&owners))
		require.Equal(t, 2, owners)
	})
}

// Hazard stale-fence: a zombie's statement waits for a row's lock, a claim commits, and the statement goes
// on. With EXISTS (lease) in the statement it changes rows although its lease is lost. In a transaction that
// locks the lease row it cannot.
func TestHazardAFenceReadFromASnapshotLetsAZombieThrough(t *testing.T) {
	move := map[sqldb.Dialect]string{
		sqldb.PostgreSQL: "UPDATE outbox_events SET event_type = 'moved' WHERE id = 1 AND EXISTS (" +
			"SELECT 1 FROM outbox_leases WHERE owner = $1 AND epoch = $2)",
		sqldb.MySQL: "UPDATE outbox_events SET event_type = 'moved' WHERE id = 1 AND EXISTS (" +
			"SELECT 1 FROM outbox_leases WHERE owner = ? AND epoch = ?)",
	}
	type fence func(ctx context.Context, st *store.Store, db dbtest.Database, l store.Lease) error
	locked := func(ctx context.Context, st *store.Store, db dbtest.Database, l store.Lease) error {
		return st.Fenced(ctx, l, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, move[db.Dialect], l.Owner.String(), l.Epoch)
			return err
		})
	}
	snapshot := func(ctx context.Context, _ *store.Store, db dbtest.Database, l store.Lease) error {
		_, err := db.DB.ExecContext(ctx, move[db.Dialect], l.Owner.String(), l.Epoch)
		return err
	}
	scenario := func(t *testing.T, db dbtest.Database, f fence) (changedAfterClaim bool) {
		b := newBench(t, db)
		st := newStore(t, db)
		b.commit("k", "k1")
		zombie, ok := claim(t, st, time.Hour)
		require.True(t, ok)
		blocker := b.begin()
		_, err := blocker.Exec("SELECT id FROM outbox_events WHERE id = 1 FOR UPDATE")
		require.NoError(t, err)

		moved := make(chan error, 1)
		go func() { moved <- f(context.Background(), st, db, zombie) }()
		eventually(t, "the zombie waits for the row", func() bool { return lockWaiters(t, db) == 1 })
		claimed := make(chan bool, 1)
		go func() {
			_, err := db.DB.Exec("UPDATE outbox_leases SET owner = 'successor', epoch = epoch + 1")
			claimed <- err == nil
		}()
		early := false
		eventually(t, "the claim is through, or waits", func() bool {
			select {
			case early = <-claimed:
				return true
			default:
				return lockWaiters(t, db) == 2
			}
		})
		require.NoError(t, blocker.Rollback())
		err = <-moved
		if !early {
			require.True(t, <-claimed)
		}
		return early && err == nil && changed(t, db)
	}
	for _, each := range []struct {
		name   string
		server func(testing.TB) dbtest.Database
	}{{"postgresql15", dbtest.PostgreSQL}, {"mariadb", dbtest.MariaDB}} {
		t.Run(each.name, func(t *testing.T) {
			require.False(t, scenario(t, dbtest.Migrate(t, each.server(t)), locked))
		})
	}
	t.Run("without the rule", func(t *testing.T) {
		db := dbtest.Migrate(t, dbtest.PostgreSQL(t))
		require.True(t, scenario(t, db, snapshot), "the scenario does not catch the naive way")
	})
}

// lockWaiters counts the sessions of this database that wait for a row's lock.
func lockWaiters(t *testing.T, db dbtest.Database) (n int) {
	t.Helper()
	q := "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
	if db.Dialect == sqldb.MySQL {
		q = `SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE()
AND id <> CONNECTION_ID() AND command IN ('Query', 'Execute') AND state IN ('Updating', 'Sending data', 'Statistics')`
	}
	require.NoError(t, db.DB.QueryRow(q).Scan(&n))
	return n
}

func changed(t *testing.T, db dbtest.Database) bool {
	var n int
	require.NoError(t, db.DB.QueryRow("SELECT COUNT(*) FROM outbox_events WHERE event_type = 'moved'").Scan(&n))
	return n > 0
}

// Hazard clock-steps-back: the database's clock stepped back, so that a dead owner's lease ends
// hours from now.
func TestHazardALeaseFarInTheFutureCanBeClaimed(t *testing.T) {
	inThreeHours := map[sqldb.Dialect]string{
		sqldb.PostgreSQL: "clock_timestamp() + interval '3 hours'",
		sqldb.MySQL:      "UTC_TIMESTAMP(6) + INTERVAL 3 HOUR",
		sqldb.SQLite:     "strftime('%Y-%m-%dT%H:%M:%f', 'now', '3 hours') || '000Z'",
	}
	now := map[sqldb.Dialect]string{
		sqldb.PostgreSQL: "clock_timestamp()",
		sqldb.MySQL:      "UTC_TIMESTAMP(6)",
		sqldb.SQLite:     "strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'",
	}
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		st := newStore(t, db)
		_, ok := claim(t, st, time.Second)
		require.True(t, ok)
		_, ok = claim(t, st, time.Second)
		require.False(t, ok, "a live lease must not be claimed")
		_, err := db.DB.Exec("UPDATE outbox_leases SET expires_at = " + inThreeHours[db.Dialect])
		require.NoError(t, err)

		var naive int
		require.NoError(t,
			db.DB.QueryRow("SELECT COUNT(*) FROM outbox_leases WHERE expires_at < "+now[db.Dialect]).Scan(&naive))
		require.Zero(t, naive, "the naive condition must not let the claim through, or the test shows nothing")
		_, ok = claim(t, st, time.Second)
		require.True(t, ok)
	})
}

// Hazard clock-steps-back, the other side: a claimer with a short lease must not take a holder with a long
// one for dead.
func TestHazardAShortLeaseDoesNotRobALongOne(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		st := newStore(t, db)
		long, ok := claim(t, st, time.Hour)
		require.True(t, ok)
		_, ok = claim(t, st, time.Second)
		require.False(t, ok)
		require.NoError(t, st.Renew(t.Context(), long, time.Hour))
	})
}

// Hazard early-handover: the lease is handed over while the sink has unacknowledged records, and the
// successor sends them too.
func TestHazardTheLeaseIsReleasedOnlyWhenNothingIsOnItsWay(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.cfg.LeaseTTL = 10 * time.Minute // nobody gets it by waiting
		b.cfg.DrainTimeout = 20 * time.Millisecond
		b.sink.hold = true
		b.commit("k", "k1")
		stop := b.start()
		eventually(t, "it is on its way", func() bool { return b.sink.count() == 1 })
		require.ErrorIs(t, stop(), ErrNotDrained)
		st := newStore(t, db)
		_, ok := claim(t, st, time.Second)
		require.False(t, ok, "the lease was released with a record on its way")

		// Without the rule, the old owner hands over at once.
		var naive store.Lease
		require.NoError(t, db.DB.QueryRow("SELECT owner, epoch FROM outbox_leases").Scan(&naive.Owner, &naive.Epoch))
		require.NoError(t, st.HandOver(t.Context(), naive, uuid.Nil))
		b.sink.release()
		stop = b.start()
		eventually(t, "it is delivered", b.empty)
		require.Equal(t, []string{"k1", "k1"}, b.sink.values(), "the scenario does not catch the naive way")

		b.cfg.DrainTimeout = 10 * time.Second
		require.NoError(t, stop())
		_, ok = claim(t, st, time.Second)
		require.True(t, ok, "a drained relay must release its lease")
	})
}

// readAtClaim returns at the first read what it read when the lease was claimed.
type readAtClaim struct {
	database
	rows []store.Row
	used bool
	info store.ReadInfo
}

func (s *readAtClaim) Claim(ctx context.Context, c store.Claim) (store.Lease, bool, error) {
	l, ok, err := s.database.Claim(ctx, c)
	if err == nil && ok {
		s.info, err = s.database.Read(ctx, store.ReadQuery{Limit: 100}, func(row *store.Row) bool {
			s.rows = append(s.rows, *row)
			return true
		})
	}
	return l, ok, err
}

func (s *readAtClaim) Read(ctx context.Context, q store.ReadQuery,
	visit func(*store.Row) bool) (store.ReadInfo, error) {
	if s.used {
		return s.database.Read(ctx, q, visit)
	}
	s.used = true
	for i := range s.rows {
		visit(&s.rows[i])
	}
	return s.info, nil
}

// Hazard read-before-fencing: the predecessor may deliver and delete until the sink is open, because only
// Open fences it. Rows that were read before are stale.
func TestHazardRowsReadBeforeTheSinkIsOpenAreNotUsed(t *testing.T) {
	scenario := func(t *testing.T, db dbtest.Database, naive bool) []string {
		b := newBench(t, db)
		b.commit("k", "k1")
		if naive {
			b.naive = func(s database) database { return &readAtClaim{database: s} }
		}
		b.sink.onOpen = func(turn int) error { // the predecessor's last act
			if turn > 1 {
				return nil
			}
			b.exec("DELETE FROM outbox_events")
			b.sink.mu.Lock()
			defer b.sink.mu.Unlock()
			b.sink.published = append(b.sink.published, published{value: "k1"})
			return nil
		}
		stop := b.start()
		eventually(t, "it reads", func() bool { return b.sink.count() >= 1 })
		b.commit("k", "k2")
		eventually(t, "k2 is delivered", func() bool { return contains(b.sink.values(), "k2") && b.empty() })
		require.NoError(t, stop())
		return b.sink.values()
	}
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		require.Equal(t, []string{"k1", "k2"}, scenario(t, db, false))
	})
	t.Run("without the rule", func(t *testing.T) {
		db := dbtest.Migrate(t, dbtest.SQLite(t))
		require.Equal(t, []string{"k1", "k1", "k2"}, scenario(t, db, true), "the scenario does not catch the naive way")
	})
}

// Hazard read-before-fencing, after an outage: a new session of the sink also starts from the table.
func TestHazardASessionAfterAnOutageReadsAgain(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.cfg.sweepEvery = time.Hour // the sweep would find the rows that the session skipped, but late
		b.commit("k", "k1", "k2")
		b.sink.verdict = func(r *Record) error {
			if string(r.Payload) == "k2" && b.sink.sessions == 1 {
				return errors.New("the broker is away")
			}
			return nil
		}
		stop := b.start()
		eventually(t, "all are delivered", b.empty)
		require.NoError(t, stop())
		require.Equal(t, []string{"k1", "k2"}, b.sink.values())
	})
}
