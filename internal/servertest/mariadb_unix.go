//go:build unix

package servertest

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// NewMariaDB starts a server with an empty database and returns its URL, as root. Flags
// go to the server, as --name=value, and win over those that make it quick:
// innodb-flush-log-at-trx-commit is 2.
func NewMariaDB(t testing.TB, flags ...string) (url string) {
	t.Helper()
	installer := program(t, "/usr/bin/mariadb-install-db")
	daemon := program(t, "/usr/sbin/mariadbd")
	a := newAccount(t, "mysql")
	data := filepath.Join(a.dir, "data")
	// A server that starts removes what it takes for left over temporary tables in its tmpdir:
	// in /tmp those of servers that start or work beside it.
	tmp := "--tmpdir=" + a.dir
	a.run(
		t, installer, "--no-defaults", "--auth-root-authentication-method=normal", "--datadir="+data,
		"--skip-test-db", tmp,
	)
	port := freePort(t)
	args := append(
		[]string{
			"--no-defaults", "--datadir=" + data, tmp, "--bind-address=127.0.0.1", fmt.Sprint("--port=", port),
			"--socket=" + filepath.Join(a.dir, "s"),
			"--pid-file=" + filepath.Join(a.dir, "pid"), "--log-error=" + filepath.Join(a.dir, "log"),
			"--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=16M",
		},
		flags...)
	server := a.command(daemon, args...)
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	root := fmt.Sprintf("mysql://root@127.0.0.1:%d/", port)
	system := Open(t, root+"mysql")
	_, err := system.DB.ExecContext(t.Context(), "CREATE DATABASE postroom")
	require.NoError(t, err)
	return root + "postroom"
}

// DumpMariaDB writes a database of the server into a file, whose path it returns.
func DumpMariaDB(t testing.TB, server, database string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), database+".sql")
	to, err := os.Create(file)
	require.NoError(t, err)
	cmd := client(t, "/usr/bin/mariadb-dump", server, "--single-transaction", "--routines", "--triggers", database)
	cmd.Stdout = to
	runClient(t, cmd)
	require.NoError(t, to.Close())
	return file
}

// RestoreMariaDB reads a dump into an empty database of the server.
func RestoreMariaDB(t testing.TB, server, database, file string) {
	t.Helper()
	from, err := os.Open(file)
	require.NoError(t, err)
	cmd := client(t, "/usr/bin/mariadb", server, database)
	cmd.Stdin = from
	runClient(t, cmd)
	require.NoError(t, from.Close())
}

func client(t testing.TB, name, server string, args ...string) *exec.Cmd {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
	to := []string{
		"--no-defaults", "--protocol=tcp", "--host=" + u.Hostname(), "--port=" + u.Port(),
		"--user=" + u.User.Username(),
	}
	return exec.Command(program(t, name), append(to, args...)...)
}

func runClient(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	var said strings.Builder
	cmd.Stderr = &said
	require.NoError(t, cmd.Run(), "%v: %s", cmd.Args, &said)
}

// NewMariaDBStandby starts a server that follows the one at primary, asynchronously, from
// now on: what the primary has already is not copied. Start the primary with --log-bin.
func NewMariaDBStandby(t testing.TB, primary string) (url string) {
	t.Helper()
	url = NewMariaDB(t, "--server-id=2", "--log-bin", "--log-slave-updates")
	from, to := Open(t, primary), Open(t, url)
	var position string
	require.NoError(t, from.DB.QueryRowContext(t.Context(), "SELECT @@gtid_binlog_pos").Scan(&position))
	for _, statement := range []string{
		"RESET MASTER", "SET GLOBAL gtid_slave_pos = '" + position + "'",
		"CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = " + portOf(t, primary) +
			", MASTER_USER = 'root', MASTER_USE_GTID = slave_pos",
		"START SLAVE", "SET GLOBAL read_only = 1",
	} {
		_, err := to.DB.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
	return url
}

func portOf(t testing.TB, server string) string {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
	return u.Port()
}
