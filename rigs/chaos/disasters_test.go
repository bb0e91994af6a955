//go:build unix

package chaos

import (
	"context"
	"os/exec"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/history"
	"github.com/postroom/postroom/internal/servertest"
)

// eachMode runs a test in both modes, at the same time.
func eachMode(t *testing.T, run func(t *testing.T, mode Mode)) {
	t.Helper()
	for _, mode := range []Mode{AtLeastOnce, ExactlyOnce} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			run(t, mode)
		})
	}
}

// PostgreSQL crashes 20 times while events are written and delivered. Each time it recovers from its log, and
// writers and relays reconnect by themselves.
func TestPostgreSQLThatIsRestartedTwentyTimes(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, mode Mode) {
		s := newSite(t, PostgreSQL, mode)
		server := servertest.NewPostgreSQL(t)
		d := s.fresh(server.URL)
		f := s.relays(d)
		stop := s.write(d, 1)
		for range 20 {
			s.waitCommitted(25)
			s.waitDelivered(d)
			server.Crash(t)
			server.Start(t)
		}
		stop()
		s.drained(d, f)
		s.judge(s.committed(d), s.arrived())
	})
}

// cluster is a database server that can be dumped.
type cluster interface {
	url() string
	dump(t *testing.T, database string) string
	restore(t *testing.T, database, file string)
}

type postgresCluster struct{ *servertest.PostgreSQL }

func (c postgresCluster) url() string                               { return c.URL }
func (c postgresCluster) dump(t *testing.T, database string) string { return c.Dump(t, database) }
func (c postgresCluster) restore(t *testing.T, database, file string) {
	c.Restore(t, database, file)
}

type mariadbCluster struct{ address string }

func (c mariadbCluster) url() string { return c.address }
func (c mariadbCluster) dump(t *testing.T, database string) string {
	return servertest.DumpMariaDB(t, c.address, database)
}
func (c mariadbCluster) restore(t *testing.T, database, file string) {
	servertest.RestoreMariaDB(t, c.address, database, file)
}

func clusters() map[string]func(t *testing.T) cluster {
	return map[string]func(t *testing.T) cluster{
		PostgreSQL: func(t *testing.T) cluster { return postgresCluster{servertest.NewPostgreSQL(t)} },
		MariaDB:    func(t *testing.T) cluster { return mariadbCluster{servertest.NewMariaDB(t)} },
	}
}

// The relays are killed, and the database moves to a new cluster by dump and restore. Events that were
// waiting are delivered from there. Events that were delivered after the dump are back in the table. A relay
// in exactly-once mode knows from its manifests that they were sent.
func TestADatabaseThatMovesToANewClusterByDumpAndRestore(t *testing.T) {
	t.Parallel()
	for name, make := range clusters() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, mode Mode) {
				s := newSite(t, name, mode)
				old := make(t)
				d := s.fresh(old.url())
				f := s.relays(d)
				stop := s.write(d, 1)
				s.waitCommitted(300)
				s.waitDelivered(d)
				f.kill9()
				s.waitCommitted(300)
				stop()

				file := old.dump(t, d.name)
				f = s.relays(d)
				s.waitDelivered(d)
				f.kill9()

				successor := make(t)
				moved := describe(s.settings, d.name, successor.url())
				require.NoError(t, moved.create(t.Context(), successor.url()))
				successor.restore(t, d.name, file)
				require.NoError(t, moved.open(t.Context(), s.settings))
				s.adopt(moved)
				require.NoError(t, moved.addUsers(t.Context(), s.settings))
				require.NoError(t, moved.connect(t.Context(), s.settings))
				waiting, err := moved.count(t.Context(), "outbox_events")
				require.NoError(t, err)
				require.Positive(t, waiting, "nothing was moved")

				f = s.relays(moved)
				stop = s.write(moved, 2)
				s.waitCommitted(300)
				stop()
				s.drained(moved, f)
				s.judge(s.committed(moved), s.arrived())
			})
		})
	}
}

// Hazard lagging-standby.
// An asynchronous standby that lags is promoted. Rows that were delivered and deleted are back, and ids that
// were used are used again, for other events. Transactions that the standby never had are lost with the
// primary. Every event of all other transactions arrives, the first copies in order, and in exactly-once mode
// without second copies. No relay works on the server while it is a standby.
func TestAStandbyThatLagsAndIsPromoted(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, mode Mode) { standbyIsPromoted(t, newSite(t, PostgreSQL, mode)) })
}

func standbyIsPromoted(t *testing.T, s *site) {
	primary := servertest.NewPostgreSQL(t)
	d := s.fresh(primary.URL)
	standby := primary.NewStandby(t)
	f := s.relays(d)
	stop := s.write(d, 1)
	s.waitCommitted(300)
	f.kill9() // rows are waiting when the standby is disconnected
	s.waitCommitted(100)

	promoted := describe(s.settings, d.name, standby.URL)
	require.NoError(t, promoted.open(t.Context(), s.settings))
	s.adopt(promoted)
	s.wait("the standby has most of it", func() bool {
		n, err := promoted.count(t.Context(), "chaos_ledger")
		return err == nil && n > 100
	})
	for _, statement := range []string{"ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"} {
		_, err := promoted.admin.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	s.wait("the standby receives nothing any more", func() bool {
		n, err := promoted.count(t.Context(), "pg_stat_wal_receiver")
		return err == nil && n == 0
	})
	f = s.relays(d)
	s.waitCommitted(300)
	stop()
	s.drained(d, f) // everything, including the rows that the standby will bring back
	before := s.committed(d)
	s.judge(before, s.arrived())
	given := lastID(t, d)
	primary.Crash(t)

	s.refused(promoted)
	rows, err := promoted.count(t.Context(), "outbox_events")
	require.NoError(t, err)
	require.Positive(t, rows, "the standby does not lag")
	_, err = promoted.admin.ExecContext(t.Context(), "SELECT pg_promote()")
	require.NoError(t, err)

	s.wait("it is a primary", func() bool { return isPrimary(t.Context(), promoted) })
	require.NoError(t, promoted.connect(t.Context(), s.settings))
	require.Less(t, lastID(t, promoted), given, "ids do not go back")
	s.forget(promoted)
	f = s.relays(promoted)
	stop = s.write(promoted, 2)
	s.waitCommitted(300)
	stop()
	s.drained(promoted, f)
	after := s.committed(promoted)
	arrived := s.arrived()

	lost := ids(before)
	for _, e := range after {
		delete(lost, e.ID)
	}
	require.NotEmpty(t, lost, "the standby had everything: it does not lag")
	// Versions that were lost are used again. What consumers received of the lost ones belongs to a history
	// that has ended. It was committed, and is checked above.
	kept := slices.DeleteFunc(slices.Clone(arrived), func(a history.Arrival) bool { return lost[a.ID] })
	found := s.judge(after, kept)
	if s.settings.Mode == AtLeastOnce {
		require.Positive(t, found.Count(history.Duplicates), "nothing came back")
	}
}

func lastID(t *testing.T, d *database) (id int64) {
	t.Helper()
	require.NoError(t, d.admin.QueryRowContext(t.Context(), "SELECT last_value FROM outbox_events_id_seq").Scan(&id))
	return id
}

func isPrimary(ctx context.Context, d *database) bool {
	var standby bool
	err := d.admin.QueryRowContext(ctx, "SELECT pg_is_in_recovery()").Scan(&standby)
	return err == nil && !standby
}

// forget removes transactions from the account that the database never had.
func (s *site) forget(d *database) {
	s.t.Helper()
	there, err := d.ledger(s.t.Context())
	require.NoError(s.t, err)
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	s.account.transactions = slices.DeleteFunc(s.account.transactions, func(w written) bool {
		return w.outcome == committed && !there[w.transactionName]
	})
}

// refused starts a relay on a standby. The relay must end at once and say why.
func (s *site) refused(d *database) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), disasterPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.settings.Binary, "run", "--kafka-brokers", s.brokers)
	cmd.Env = environment("POSTROOM_DATABASE_URL=" + d.relayURL)
	said, err := cmd.CombinedOutput()
	require.Error(s.t, err)
	require.Equal(s.t, 1, cmd.ProcessState.ExitCode(), "%s", said)
	require.Contains(s.t, string(said), "standby")
}
