//go:build unix

package servertest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// PostgreSQL is a cluster of a test's own. Its superuser postgres needs no password.
type PostgreSQL struct {
	account
	ctl, data string

	URL string // of the database postgres
}

// NewPostgreSQL makes a cluster and starts it. Settings are lines of postgresql.conf, and
// win over those that make it quick: fsync is off.
func NewPostgreSQL(t testing.TB, settings ...string) *PostgreSQL {
	t.Helper()
	bin := filepath.Dir(program(t, "/usr/lib/postgresql/1[5-9]/bin/pg_ctl"))
	s := &PostgreSQL{account: newAccount(t, "postgres"), ctl: filepath.Join(bin, "pg_ctl")}
	s.data = filepath.Join(s.dir, "data")
	port := freePort(t)
	s.URL = fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres", port)
	s.run(t, filepath.Join(bin, "initdb"), "-D", s.data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
	own := fmt.Sprintf("listen_addresses = '127.0.0.1'\nport = %d\nunix_socket_directories = '%s'\nfsync = off\nmax_connections = 60\n", port, s.dir)
	conf, err := os.OpenFile(filepath.Join(s.data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = conf.WriteString(own + strings.Join(settings, "\n") + "\n")
	require.NoError(t, err)
	require.NoError(t, conf.Close())
	s.Start(t)
	t.Cleanup(func() { s.run(t, s.ctl, "-D", s.data, "-m", "immediate", "-w", "stop") })
	return s
}

// Start starts a stopped cluster and waits until it answers.
func (s *PostgreSQL) Start(t testing.TB) {
	t.Helper()
	s.run(t, s.ctl, "-D", s.data, "-w", "-l", filepath.Join(s.dir, "log"), "start")
}

// RestartAsStandby makes a standby without a primary of it, with the rows that it has.
func (s *PostgreSQL) RestartAsStandby(t testing.TB) {
	t.Helper()
	s.run(t, s.ctl, "-D", s.data, "-m", "fast", "-w", "stop")
	require.NoError(t, os.WriteFile(filepath.Join(s.data, "standby.signal"), nil, 0o644))
	s.Start(t)
}
