package chaos

import (
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echoing makes a way to a server that returns everything that it receives.
func echoing(t *testing.T) *way {
	t.Helper()
	w, err := newWay()
	require.NoError(t, err)
	server, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", w.inner))
	require.NoError(t, err)
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	t.Cleanup(func() {
		w.close()
		require.NoError(t, server.Close())
	})
	return w
}

func dialled(t *testing.T, w *way) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", w.address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	return conn
}

func heard(t *testing.T, conn net.Conn) string {
	t.Helper()
	answer := make([]byte, 5)
	_, err := io.ReadFull(conn, answer)
	require.NoError(t, err)
	return string(answer)
}

func said(t *testing.T, conn net.Conn, what string) {
	t.Helper()
	_, err := io.WriteString(conn, what)
	require.NoError(t, err)
}

func TestAWayThatIsRefusedEndsItsConnectionsAndTakesNoNewOnes(t *testing.T) {
	w := echoing(t)
	conn := dialled(t, w)
	said(t, conn, "hello")
	require.Equal(t, "hello", heard(t, conn))
	w.set(wayRefused)
	for _, c := range []net.Conn{conn, dialled(t, w)} {
		_, err := c.Read(make([]byte, 1))
		require.Error(t, err)
	}
	w.set(wayOpen)
	conn = dialled(t, w)
	said(t, conn, "again")
	require.Equal(t, "again", heard(t, conn))
}

func TestWhatWasSaidOnASilentWayArrivesWhenItIsOpenAgain(t *testing.T) {
	w := echoing(t)
	conn := dialled(t, w)
	said(t, conn, "hello")
	require.Equal(t, "hello", heard(t, conn))
	w.set(waySilent)
	late := dialled(t, w)
	said(t, conn, "later")
	said(t, late, "never")
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err := conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "something got through")
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	w.set(wayOpen)
	require.Equal(t, "later", heard(t, conn))
	require.Equal(t, "never", heard(t, late))
}
