package cli

import (
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/migrations"
)

// Sources of one process share a few connections. If somebody locks some of the sources, the others must not
// stop and must not lose their leases.
func TestSourcesThatSomebodyHasLockedDoNotStopTheOthers(t *testing.T) {
	for name, open := range map[string]func(testing.TB) dbtest.Database{"postgresql15": dbtest.PostgreSQL,
		"mariadb": dbtest.MariaDB} {
		for what, lock := range map[string]func(*testing.T, dbtest.Database, []config.Source) (unlock func()){
			"tables": lockTables, "lease rows": lockLeases,
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				t.Parallel() // most of the time they wait
				lockSome(t, open(t), lock)
			})
		}
	}
}

func lockSome(t *testing.T, db dbtest.Database, lock func(*testing.T, dbtest.Database, []config.Source) func()) {
	const sources, locked, events = 8, 3, 10
	c := fleetOf(t, db, sources)
	// This is three times the longest wait for a lock, with room for a busy machine.
	c.Delivery.LeaseTTL = 6 * time.Second
	writeToEach(t, db, c, events)
	stop := runFleet(t, c)
	consumeAll(t, c, sources*events) // all of them own their sources

	others := *c
	others.Sources = c.Sources[locked:]
	epochs := epochsOf(t, db, others.Sources)
	unlock := lock(t, db, c.Sources[:locked])
	total, waves := sources*events, 0
	for until := time.Now().Add(2 * c.Delivery.LeaseTTL); time.Now().Before(until); waves++ {
		writeToEach(t, db, &others, events)
		total += len(others.Sources) * events
		consumeAll(t, c, total)
	}
	require.Greater(t, waves, 1, "they stood still for as long as a statement may wait")
	require.Equal(t, epochs, epochsOf(t, db, others.Sources), "no other source has lost its lease")
	unlock()

	locks := *c
	locks.Sources = c.Sources[:locked]
	writeToEach(t, db, &locks, events)
	consumeAll(t, c, total+locked*events)
	stop()
}

func epochsOf(t *testing.T, db dbtest.Database, sources []config.Source) map[string]int {
	t.Helper()
	epochs := map[string]int{}
	for _, s := range sources {
		var epoch int
		require.NoError(t, db.DB.QueryRowContext(t.Context(), "SELECT epoch FROM "+s.TablePrefix+
			"outbox_leases").Scan(&epoch))
		epochs[s.Name] = epoch
	}
	return epochs
}

// lockTables locks tables as a migration or a backup tool may do.
func lockTables(t *testing.T, db dbtest.Database, sources []config.Source) (unlock func()) {
	conn, err := db.DB.Conn(t.Context())
	require.NoError(t, err)
	var tables []string
	for _, s := range sources {
		for _, table := range []string{"outbox_events", "outbox_parked", "outbox_scheduled"} {
			tables = append(tables, s.TablePrefix+table)
		}
	}
	statements, end := []string{"BEGIN", "LOCK TABLE " + strings.Join(tables, ", ") +
		" IN ACCESS EXCLUSIVE MODE"}, "ROLLBACK"
	if db.Dialect == migrations.MySQL {
		statements, end = []string{"LOCK TABLES " + strings.Join(tables, " WRITE, ") + " WRITE"}, "UNLOCK TABLES"
	}
	for _, statement := range statements {
		_, err := conn.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	return func() {
		_, err := conn.ExecContext(t.Context(), end)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	}
}

// lockLeases locks rows as a forgotten SELECT … FOR UPDATE does.
func lockLeases(t *testing.T, db dbtest.Database, sources []config.Source) (unlock func()) {
	tx, err := db.DB.BeginTx(t.Context(), &sql.TxOptions{})
	require.NoError(t, err)
	for _, s := range sources {
		_, err := tx.ExecContext(t.Context(), "SELECT epoch FROM "+s.TablePrefix+"outbox_leases FOR UPDATE")
		require.NoError(t, err)
	}
	return func() { require.NoError(t, tx.Rollback()) }
}
