package doctor_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/doctor"
)

// session is an application's connection with an open transaction.
type session struct {
	t    testing.TB
	conn *sql.Conn
	pid  string
}

func TestOnSQLiteWritersAreRemindedToWaitForOneAnother(t *testing.T) {
	c := onSQLite(t)
	requireFinding(t, c.examine().only(t, "transactions.busy-timeout"), doctor.Note, c.source.Where,
		"PRAGMA busy_timeout = 10000;")
}

// begin opens a session of another application, with an open transaction.
func (c *clinic) begin() *session {
	c.t.Helper()
	url := c.db.URL
	if c.db.Dialect == db.PostgreSQL {
		url += "&application_name=checkout"
	}
	target, err := dbopen.Open(c.t.Context(), url)
	require.NoError(c.t, err)
	conn, err := target.DB.Conn(c.t.Context())
	require.NoError(c.t, err)
	s := &session{t: c.t, conn: conn}
	c.t.Cleanup(func() {
		_ = conn.Close() // this also ends the transaction
		_ = target.DB.Close()
	})
	pid := map[db.Dialect]string{db.PostgreSQL: "SELECT pg_backend_pid()",
		db.MySQL: "SELECT CONNECTION_ID()", db.SQLite: "SELECT 0"}
	require.NoError(c.t, conn.QueryRowContext(c.t.Context(), pid[c.db.Dialect]).Scan(&s.pid))
	s.exec("BEGIN")
	return s
}

func (s *session) exec(statements ...string) {
	s.t.Helper()
	for _, statement := range statements {
		_, err := s.conn.ExecContext(s.t.Context(), statement)
		require.NoError(s.t, err, statement)
	}
}

// soon makes everything late that is older than a moment.
func (c *clinic) soon() { c.opts.MaxAge = 1500 * time.Millisecond }

// eventually repeats the examination until the check has a finding that fits.
func (c *clinic) eventually(check string, fits func(doctor.Finding) bool) doctor.Finding {
	c.t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * wait); ; <-tick.C {
		found := c.examine()
		for _, f := range found.all(check) {
			if fits(f) {
				return f
			}
		}
		if time.Now().After(deadline) {
			require.FailNow(c.t, "no such finding", "%s among %s", check, found.ids())
		}
	}
}

func atWorst(f doctor.Finding) bool { return f.Severity == doctor.Problem }

func TestATransactionThatHasWrittenAndStaysOpenIsNamed(t *testing.T) {
	onServers(t, func(t *testing.T, c *clinic) {
		c.soon()
		s := c.begin()
		s.exec("INSERT INTO outbox_events (topic, payload) VALUES ('orders', 'secret payload')")
		open := c.eventually("transactions.writer", atWorst)
		kill, state, holds := "SELECT pg_terminate_backend("+s.pid+");", "idle in transaction", "holds outbox_events"
		if c.db.Dialect == db.MySQL {
			kill, state, holds = "KILL "+s.pid+";", "Sleep", "may hold ids of outbox_events"
		}
		requireFinding(t, open, doctor.Problem, "session "+s.pid, kill)
		require.Contains(t, open.What, "user postroom")
		require.Contains(t, open.What, state)
		require.Contains(t, open.What, holds)
		require.NotContains(t, fmt.Sprint(open), "secret payload", "what a session runs may hold data")
		if c.db.Dialect == db.PostgreSQL {
			require.Contains(t, open.What, `application "checkout"`)
			require.Regexp(t,
				`open for [\d.]+s \(since \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ\), .*last statement begun \d{4}-`, open.What)
		}
		c.exec(strings.TrimSuffix(open.Do[0], ";"))
		require.Eventually(t, func() bool { return len(c.examine().all("transactions.writer")) == 0 }, wait,
			200*time.Millisecond, "the command ends it")
	})
}

func TestATransactionThatOnlyReadsIsAWarning(t *testing.T) {
	onServers(t, func(t *testing.T, c *clinic) {
		c.soon()
		c.exec("CREATE TABLE shop (id int PRIMARY KEY)")
		s := c.begin()
		s.exec("SELECT * FROM shop")
		if c.db.Dialect == db.MySQL { // it begins with the first row that is read, or at once
			s.exec("ROLLBACK", "START TRANSACTION WITH CONSISTENT SNAPSHOT")
		}
		open := c.eventually("transactions.old", func(doctor.Finding) bool { return true })
		requireFinding(t, open, doctor.Warning, "session "+s.pid, s.pid)
		require.Empty(t, c.examine().all("transactions.writer"))
	})
}

// A transaction that blocks the outbox is reported before others.
func TestTheOneThatHoldsTheOutboxComesFirst(t *testing.T) {
	onServers(t, func(t *testing.T, c *clinic) {
		c.soon()
		other := c.begin()
		other.exec("SELECT count(*) FROM outbox_leases")
		writer := c.begin()
		writer.exec("INSERT INTO outbox_events (topic) VALUES ('orders')")
		c.eventually("transactions.writer", atWorst)
		c.eventually("transactions.old", func(f doctor.Finding) bool { return f.Subject == "session "+other.pid })
		var order []string
		for _, f := range c.examine() {
			// Other programs use the same server. MariaDB also shows their sessions, if these use no database.
			if f.Subject == "session "+writer.pid || f.Subject == "session "+other.pid {
				order = append(order, f.Check)
			}
		}
		require.Equal(t, []string{"transactions.writer", "transactions.old"}, order)
	})
}

func TestALockOnTheTableIsNamed(t *testing.T) {
	t.Run("postgresql", func(t *testing.T) {
		eachPostgres(t, func(t *testing.T, c *clinic) {
			c.opts.Timeout = time.Second // otherwise doctor would wait for the lock too
			s := c.begin()
			s.exec("LOCK TABLE outbox_events IN ACCESS EXCLUSIVE MODE")
			began := time.Now()
			lock := c.eventually("transactions.lock", atWorst)
			requireFinding(t, lock, doctor.Problem, "session "+s.pid, "SELECT pg_terminate_backend("+s.pid+");")
			require.Contains(t, lock.What, "it holds AccessExclusiveLock on outbox_events")
			require.Less(t, time.Since(began), 2*wait)
			slow := c.examine().all("look.slow")
			require.NotEmpty(t, slow, "what needs the table is said to be slow")
			requireFinding(t, slow[0], doctor.Warning, "waiting events",
				"relay doctor --config relay.yaml --timeout 30s")
			require.NotEmpty(t, c.examine().all("lease.owner"), "what needs it not is answered")
		})
	})
	// An ALTER TABLE waits for a reader, and every writer waits behind it.
	t.Run("mariadb", func(t *testing.T) {
		c := onMariaDB(t)
		c.opts.Timeout = 2 * time.Second
		reader := c.begin()
		reader.exec("SELECT count(*) FROM outbox_events")
		altering := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer close(altering)
			_, _ = c.db.DB.ExecContext(ctx, "ALTER TABLE outbox_events ADD COLUMN extra int NULL") // it is cancelled
		}()
		lock := c.eventually("transactions.lock", atWorst)
		require.Contains(t, lock.What, "it waits for metadata lock")
		require.Contains(t, lock.Do[0], "KILL ")
		cancel()
		reader.exec("ROLLBACK")
		<-altering
	})
}

// The relay's user can see locks, but not for how long other users have held them.
func TestALockOfASessionThatIsHiddenIsAWarning(t *testing.T) {
	eachPostgres(t, func(t *testing.T, c *clinic) {
		c.as(relayRights(c.db.Dialect)...)
		c.opts.Timeout = time.Second
		s := c.begin()
		s.exec("LOCK TABLE outbox_events IN SHARE MODE")
		lock := c.examine().only(t, "transactions.lock")
		requireFinding(t, lock, doctor.Warning, "session "+s.pid, "SELECT pg_terminate_backend("+s.pid+");")
		require.Equal(t, "session "+
			s.pid+` (user postroom, application "checkout"): it holds ShareLock on outbox_events`, lock.What)
	})
}

func TestAPreparedTransactionIsNamedWithItsWayOut(t *testing.T) {
	t.Run("postgresql", func(t *testing.T) {
		eachPostgres(t, func(t *testing.T, c *clinic) {
			c.soon()
			gid := "it's " + c.lease.Owner.String()
			quoted := "'" + strings.ReplaceAll(gid, "'", "''") + "'"
			c.begin().exec("INSERT INTO outbox_events (topic) VALUES ('orders')", "PREPARE TRANSACTION "+quoted)
			t.Cleanup(func() { _, _ = c.db.DB.ExecContext(context.Background(), "ROLLBACK PREPARED "+quoted) })
			prepared := c.eventually("transactions.prepared", atWorst)
			requireFinding(t, prepared, doctor.Problem, gid, "COMMIT PREPARED "+quoted+"; -- or ROLLBACK PREPARED "+
				quoted+";")
			require.Contains(t, prepared.What, "holds outbox_events")
			c.exec("ROLLBACK PREPARED " + quoted)
			require.Empty(t, c.examine().all("transactions.prepared"))
		})
	})
	t.Run("mariadb", func(t *testing.T) {
		c := onMariaDB(t)
		c.soon()
		xid := "'" + strings.ReplaceAll(c.lease.Owner.String(), "-", "") + "'"
		s := c.begin()
		s.exec("ROLLBACK", "XA START "+xid, "INSERT INTO outbox_events (topic) VALUES ('orders')", "XA END "+xid,
			"XA PREPARE "+xid)
		t.Cleanup(func() { _, _ = c.db.DB.ExecContext(context.Background(), "XA ROLLBACK "+xid) })
		c.exec("KILL " + s.pid) // the transaction outlives its session
		hex := fmt.Sprintf("X'%x'", strings.Trim(xid, "'"))
		prepared := c.eventually("transactions.prepared", atWorst)
		requireFinding(t, prepared, doctor.Problem, "XA", "XA ROLLBACK "+hex)
		for _, command := range prepared.Do { // transactions of other tests may be among them
			if _, rollback, _ := strings.Cut(command, "-- or "); strings.Contains(rollback, hex) {
				c.exec(strings.TrimSuffix(rollback, ";"))
				return
			}
		}
		require.Fail(t, "no command", "%+v", prepared)
	})
}

// Through pgbouncer doctor looks at the same server.
func TestThroughPgBouncerTransactionsAreSeenToo(t *testing.T) {
	t.Parallel()
	c := newClinic(t, dbtest.PgBouncer(t))
	c.soon()
	s := c.begin()
	s.exec("INSERT INTO outbox_events (topic) VALUES ('orders')")
	open := c.eventually("transactions.writer", atWorst)
	require.Contains(t, open.What, "idle in transaction")
}

// The relay cannot delete a row that a forgotten SELECT … FOR UPDATE has locked.
func TestASessionThatHasLockedRowsIsTold(t *testing.T) {
	onPostgres(t, func(t *testing.T, c *clinic) {
		c.exec("INSERT INTO outbox_events (topic) VALUES ('orders')")
		s := c.begin()
		s.exec("SELECT id FROM outbox_events FOR UPDATE")
		locked := c.eventually("transactions.lock", func(doctor.Finding) bool { return true })
		require.Contains(t, locked.What, "session "+s.pid)
		require.Contains(t, locked.What, "rows of outbox_events")
		require.Contains(t, locked.Why, "cannot delete them")
		require.Contains(t, locked.Do, "SELECT pg_terminate_backend("+s.pid+");")
	})
}
