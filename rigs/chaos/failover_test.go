//go:build unix

package chaos

import (
	"net/url"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/history"
	"github.com/postroom/postroom/internal/servertest"
)

// pair is a primary with a standby that replicates it.
type pair struct {
	primary, standby string
	// cutOff ends the replication. promote makes the standby a primary.
	cutOff, promote []string
	// received asks whether the standby still replicates.
	received string
}

// pairs makes one pair of each database, after the primary has the database of the test.
func pairs() map[string]func(t *testing.T, fresh func(server string)) pair {
	return map[string]func(t *testing.T, fresh func(server string)) pair{
		PostgreSQL: func(t *testing.T, fresh func(server string)) pair {
			primary := servertest.NewPostgreSQL(t)
			fresh(primary.URL)
			return pair{
				primary: primary.URL, standby: primary.NewStandby(t).URL,
				cutOff:   []string{"ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"},
				received: "SELECT count(*) FROM pg_stat_wal_receiver",
				promote:  []string{"SELECT pg_promote()"},
			}
		},
		MariaDB: func(t *testing.T, fresh func(server string)) pair {
			p := pair{
				primary: servertest.NewMariaDB(t, "--server-id=1", "--log-bin"),
				cutOff:  []string{"STOP SLAVE"}, received: "SELECT 0",
				promote: []string{"RESET SLAVE ALL", "SET GLOBAL read_only = 0"},
			}
			p.standby = servertest.NewMariaDBStandby(t, p.primary)
			fresh(p.primary)
			return p
		},
	}
}

// Hazard lagging-standby.
// The address of the database moves to a standby that lags and was promoted, while a relay runs. The relay's
// lease is valid there, under the same owner and epoch. Rows that it has sent and deleted are back, and its
// position in the manifests is ahead of the new server's data. In exactly-once mode nothing is sent twice,
// and in both modes the first copies are in order. The old primary goes on running, because in this scenario
// only the address moves.
func TestALiveRelayWhoseDatabaseMovesToAStandbyThatLags(t *testing.T) {
	t.Parallel()
	for name, make := range pairs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, mode Mode) { movesToAStandby(t, newSite(t, name, mode), make) })
		})
	}
}

func movesToAStandby(t *testing.T, s *site, make func(t *testing.T, fresh func(server string)) pair) {
	var d *database
	p := make(t, func(server string) { d = s.fresh(server) })
	exec := func(on *database, statements ...string) {
		for _, statement := range statements {
			_, err := on.admin.ExecContext(t.Context(), statement)
			require.NoError(t, err, statement)
		}
	}
	proxy := servertest.NewProxy(t, address(t, p.primary))
	through := *d
	through.relayURL = withAddress(t, d.relayURL, proxy.Address)
	stop := s.write(d, 1)
	s.settings.Relays, s.settings.LeaseTTL = 1, time.Minute // valid until the end of the test
	f := s.relays(&through)
	s.waitCommitted(300)
	s.waitDelivered(d)

	f.signal(syscall.SIGSTOP) // rows are waiting when the standby is disconnected
	s.waitCommitted(300)
	promoted := describe(s.settings, d.name, p.standby)
	require.NoError(t, promoted.open(t.Context(), s.settings))
	s.adopt(promoted)
	s.wait("the standby has most of it", func() bool {
		n, err := promoted.count(t.Context(), "outbox_events")
		return err == nil && n > 200
	})
	exec(promoted, p.cutOff...)
	s.wait("the standby receives nothing any more", func() bool {
		var n int
		return promoted.admin.QueryRowContext(t.Context(), p.received).Scan(&n) == nil && n == 0
	})
	f.signal(syscall.SIGCONT)
	s.waitCommitted(300)
	stop()
	delivered := func(d *database) {
		s.wait("the outbox is empty", func() bool {
			n, err := d.count(t.Context(), "outbox_events")
			return err == nil && n == 0
		})
	}
	delivered(d)
	if s.settings.Mode == ExactlyOnce {
		kept := position(t, promoted)
		s.wait("the position is ahead of the standby's", func() bool { return position(t, d) != kept })
	}
	before, lease := s.committed(d), owner(t, d)
	require.Equal(t, lease, owner(t, promoted), "the standby knows the lease")
	waiting, err := promoted.count(t.Context(), "outbox_events")
	require.NoError(t, err)
	require.Positive(t, waiting, "the standby does not lag")

	exec(promoted, p.promote...)
	require.NoError(t, promoted.connect(t.Context(), s.settings))
	s.forget(promoted)
	proxy.Lead(address(t, p.standby))
	stop = s.write(promoted, 2)
	s.waitCommitted(300)
	stop()
	delivered(promoted)
	require.NotEqual(t, lease, owner(t, promoted), "the lease was claimed anew")
	require.Empty(t, f.ended, "the relay lived through it")
	s.drained(promoted, f)

	after := s.committed(promoted)
	lost := ids(before)
	for _, e := range after {
		delete(lost, e.ID)
	}
	require.NotEmpty(t, lost, "the standby had everything: it does not lag")
	// As in standbyIsPromoted, what was lost belongs to a history that has ended.
	kept := slices.DeleteFunc(s.arrived(), func(a history.Arrival) bool { return lost[a.ID] })
	found := s.judge(after, kept)
	if s.settings.Mode == AtLeastOnce {
		require.Positive(t, found.Count(history.Duplicates), "nothing came back")
	}
}

func owner(t *testing.T, d *database) (owner string) {
	t.Helper()
	require.NoError(t, d.admin.QueryRowContext(t.Context(), "SELECT owner FROM outbox_leases").Scan(&owner))
	return owner
}

// position returns the position in the manifests from the lease row.
func position(t *testing.T, d *database) (hints string) {
	t.Helper()
	require.NoError(t, d.admin.QueryRowContext(t.Context(), "SELECT hints FROM outbox_leases").Scan(&hints))
	return hints
}

func address(t *testing.T, server string) string {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
	return u.Host
}

func withAddress(t *testing.T, server, address string) string {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
	u.Host = address
	return u.String()
}
