//go:build unix

package conformance

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Servers of a test's own, for what must not be done to the shared ones. Their data is
// in the test's temporary directory, and they listen on loopback.

// program finds a server's program, or ends the test: with CI=true as a failure.
func program(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	require.NoError(t, err)
	if len(found) > 0 {
		return found[0]
	}
	const how = "there is no %s: run dev/services up, which installs the servers"
	if os.Getenv("CI") == "true" {
		t.Fatalf(how, pattern)
	}
	t.Skipf(how, pattern)
	return ""
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	return listener.Addr().(*net.TCPAddr).Port
}

// account runs programs as a user other than root, which servers refuse to be.
type account struct {
	credential *syscall.Credential
	dir        string // the user's own
}

func newAccount(t *testing.T, name string) account {
	t.Helper()
	// Not t.TempDir: its parent lets nobody else in.
	dir, err := os.MkdirTemp("", "postroom-test-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	a := account{dir: dir}
	if os.Getuid() != 0 {
		return a
	}
	u, err := user.Lookup(name)
	require.NoError(t, err)
	uid, err := strconv.Atoi(u.Uid)
	require.NoError(t, err)
	gid, err := strconv.Atoi(u.Gid)
	require.NoError(t, err)
	require.NoError(t, os.Chown(a.dir, uid, gid))
	a.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return a
}

func (a account) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = a.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.credential}
	return cmd
}

func (a account) run(t testing.TB, name string, args ...string) {
	t.Helper()
	// Into a file: the server that pg_ctl leaves behind would keep a pipe open.
	log, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close()) }()
	cmd := a.command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(log.Name())
		require.NoError(t, err, "%s %v: %s", name, args, text)
	}
}

type postgresServer struct {
	account
	ctl, data, url string
}

// newPostgres starts a PostgreSQL.
func newPostgres(t *testing.T) *postgresServer {
	t.Helper()
	bin := filepath.Dir(program(t, "/usr/lib/postgresql/1[5-9]/bin/pg_ctl"))
	s := &postgresServer{account: newAccount(t, "postgres"), ctl: filepath.Join(bin, "pg_ctl")}
	s.data = filepath.Join(s.dir, "data")
	port := freePort(t)
	s.url = fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres", port)
	s.run(t, filepath.Join(bin, "initdb"), "-D", s.data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
	settings := fmt.Sprintf("listen_addresses = '127.0.0.1'\nport = %d\nunix_socket_directories = '%s'\nfsync = off\nmax_connections = 60\n", port, s.dir)
	conf, err := os.OpenFile(filepath.Join(s.data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = conf.WriteString(settings)
	require.NoError(t, err)
	require.NoError(t, conf.Close())
	s.start(t)
	t.Cleanup(func() { s.run(t, s.ctl, "-D", s.data, "-m", "immediate", "-w", "stop") })
	return s
}

func (s *postgresServer) start(t testing.TB) {
	t.Helper()
	s.run(t, s.ctl, "-D", s.data, "-w", "-l", filepath.Join(s.dir, "log"), "start")
}

func (s *postgresServer) restartAsStandby(t testing.TB) {
	t.Helper()
	s.run(t, s.ctl, "-D", s.data, "-m", "fast", "-w", "stop")
	require.NoError(t, os.WriteFile(filepath.Join(s.data, "standby.signal"), nil, 0o644))
	s.start(t)
}

// newMariaDB starts a MariaDB with a database and returns its URL.
func newMariaDB(t *testing.T) (url string) {
	t.Helper()
	installer := program(t, "/usr/bin/mariadb-install-db")
	daemon := program(t, "/usr/sbin/mariadbd")
	a := newAccount(t, "mysql")
	data := filepath.Join(a.dir, "data")
	a.run(t, installer, "--no-defaults", "--auth-root-authentication-method=normal", "--datadir="+data, "--skip-test-db")
	port := freePort(t)
	server := a.command(daemon, "--no-defaults", "--datadir="+data, "--bind-address=127.0.0.1", fmt.Sprint("--port=", port),
		"--socket="+filepath.Join(a.dir, "s"), "--pid-file="+filepath.Join(a.dir, "pid"), "--log-error="+filepath.Join(a.dir, "log"),
		"--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=16M")
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	root := fmt.Sprintf("mysql://root@127.0.0.1:%d/", port)
	system := openPrivate(t, root+"mysql")
	_, err := system.DB.ExecContext(t.Context(), "CREATE DATABASE postroom")
	require.NoError(t, err)
	return root + "postroom"
}
