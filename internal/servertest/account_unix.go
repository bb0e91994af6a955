//go:build unix

package servertest

import (
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dbtest"
)

// patience is how long a server may take to come up.
const patience = 30 * time.Second

// program finds a server's program, or ends the test: with CI=true as a failure.
func program(t testing.TB, pattern string) string {
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

func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	return listener.Addr().(*net.TCPAddr).Port
}

// account runs programs as a user other than root, because servers do not run as root.
type account struct {
	credential *syscall.Credential
	dir        string // the user's own
}

func newAccount(t testing.TB, name string) account {
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
	log, err := os.CreateTemp("", "postroom-test-out-")
	require.NoError(t, err)
	defer func() {
		require.NoError(t, log.Close())
		require.NoError(t, os.Remove(log.Name()))
	}()
	cmd := a.command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(log.Name())
		require.NoError(t, err, "%s %v: %s", name, args, text)
	}
}

// Open opens a server for the time of the test, as soon as it is up.
func Open(t testing.TB, url string) dbtest.Database {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		target, err := dbopen.Open(t.Context(), url)
		if err == nil {
			t.Cleanup(func() { require.NoError(t, target.DB.Close()) })
			return dbtest.Database{Dialect: target.Dialect, DB: target.DB, URL: url}
		}
		if time.Now().After(deadline) {
			require.NoError(t, err, "the test's own server did not come up")
		}
	}
}
