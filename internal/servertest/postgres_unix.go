//go:build unix

package servertest

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// PostgreSQL is a cluster of a test's own. Its superuser postgres needs no password.
type PostgreSQL struct {
	account
	bin, data string
	running   bool

	URL string // of the database postgres
}

// NewPostgreSQL makes a cluster and starts it. Settings are lines of postgresql.conf, and
// win over those that make it quick: fsync is off.
func NewPostgreSQL(t testing.TB, settings ...string) *PostgreSQL {
	t.Helper()
	s := newCluster(t)
	s.run(t, s.program("initdb"), "-D", s.data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
	s.configure(t, append([]string{"fsync = off", "max_connections = 60"}, settings...)...)
	s.Start(t)
	return s
}

func newCluster(t testing.TB) *PostgreSQL {
	t.Helper()
	bin := filepath.Dir(program(t, "/usr/lib/postgresql/1[5-9]/bin/pg_ctl"))
	s := &PostgreSQL{account: newAccount(t, "postgres"), bin: bin}
	s.data = filepath.Join(s.dir, "data")
	t.Cleanup(func() {
		if s.running {
			s.Crash(t)
		}
	})
	return s
}

func (s *PostgreSQL) program(name string) string { return filepath.Join(s.bin, name) }

// configure appends settings, and those that give the cluster a place of its own.
func (s *PostgreSQL) configure(t testing.TB, settings ...string) {
	t.Helper()
	port := freePort(t)
	s.URL = fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres", port)
	settings = append([]string{
		"listen_addresses = '127.0.0.1'", fmt.Sprint("port = ", port), "unix_socket_directories = '" + s.dir + "'",
	}, settings...)
	conf, err := os.OpenFile(filepath.Join(s.data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = conf.WriteString(strings.Join(settings, "\n") + "\n")
	require.NoError(t, err)
	require.NoError(t, conf.Close())
}

// ctlPatience is how long pg_ctl waits, in seconds.
const ctlPatience = "120"

// Start starts a stopped cluster and waits until it answers.
func (s *PostgreSQL) Start(t testing.TB) {
	t.Helper()
	s.run(t, s.program("pg_ctl"), "-D", s.data, "-w", "-t", ctlPatience, "-l", filepath.Join(s.dir, "log"), "start")
	s.running = true
}

// Crash ends the cluster's processes at once, without a checkpoint: the next start
// recovers from the write-ahead log.
func (s *PostgreSQL) Crash(t testing.TB) {
	t.Helper()
	s.stop(t, "immediate")
}

func (s *PostgreSQL) stop(t testing.TB, mode string) {
	t.Helper()
	s.run(t, s.program("pg_ctl"), "-D", s.data, "-m", mode, "-w", "-t", ctlPatience, "stop")
	s.running = false
}

// RestartAsStandby makes a standby without a primary of it, with the rows that it has.
func (s *PostgreSQL) RestartAsStandby(t testing.TB) {
	t.Helper()
	s.stop(t, "fast")
	require.NoError(t, os.WriteFile(filepath.Join(s.data, "standby.signal"), nil, 0o644))
	s.Start(t)
}

// NewStandby starts a standby that follows the cluster, asynchronously.
func (s *PostgreSQL) NewStandby(t testing.TB) *PostgreSQL {
	t.Helper()
	standby := newCluster(t)
	standby.run(t, s.program("pg_basebackup"), "-d", s.URL, "-D", standby.data, "-R", "-X", "stream", "-c", "fast")
	standby.configure(t)
	standby.Start(t)
	return standby
}

// Dump writes a database into a file of the cluster's, whose path it returns. Rights are
// left out: their users are another cluster's.
func (s *PostgreSQL) Dump(t testing.TB, database string) (file string) {
	t.Helper()
	file = filepath.Join(s.dir, database+".dump")
	s.run(
		t, s.program("pg_dump"), "--format=custom", "--no-owner", "--no-privileges", "--file", file, "--dbname",
		s.of(t, database),
	)
	return file
}

// Restore reads a dump into an empty database.
func (s *PostgreSQL) Restore(t testing.TB, database, file string) {
	t.Helper()
	s.run(t, s.program("pg_restore"), "--exit-on-error", "--no-owner", "--dbname", s.of(t, database), file)
}

func (s *PostgreSQL) of(t testing.TB, database string) string {
	t.Helper()
	u, err := url.Parse(s.URL)
	require.NoError(t, err)
	u.Path = "/" + database
	return u.String()
}
