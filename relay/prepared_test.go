package relay

import (
	"context"
	"database/sql/driver"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
)

// prepare writes an event of key k in a transaction, prepares the transaction and closes the session. end
// commits it on another connection.
func (b *bench) prepare(value string) (end func()) {
	b.t.Helper()
	name := "'" + uuid.NewString() + "'"
	begin, prepare, commit, rollBack := []string{"BEGIN"}, []string{"PREPARE TRANSACTION " + name}, "COMMIT PREPARED ",
		"ROLLBACK PREPARED "
	if b.db.Dialect == sqldb.MySQL {
		begin, prepare, commit, rollBack = []string{"XA START " + name},
			[]string{"XA END " + name, "XA PREPARE " + name}, "XA COMMIT ", "XA ROLLBACK "
	}
	conn, err := b.db.DB.Conn(context.Background())
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _, _ = b.db.DB.Exec(rollBack + name) }) // otherwise the database could not be dropped
	insert := "INSERT INTO outbox_events (topic, event_key, payload) VALUES ('t', 'k', '" + value + "')"
	for _, statement := range append(append(begin, insert), prepare...) {
		_, err := conn.ExecContext(context.Background(), statement)
		require.NoError(b.t, err, statement)
	}
	_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // close it instead of returning it to the pool
	_ = conn.Close()
	return func() { b.exec(commit + name) }
}

// Hazard prepared-transaction.
// A transaction is prepared, and for a long time nobody ends it: no session has it. Others commit, roll back
// and are delivered. A relay stops, and another one starts. It asks for the one id. When the transaction
// commits at last, its event is delivered before a later event of its key.
func TestATransactionThatIsPreparedForLongDelaysItsOwnEventsAlone(t *testing.T) {
	concurrentWriters(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.cfg.maxGaps = 8
		w := newWalked(b)
		b.commit("other", "before")
		stop := b.start()
		eventually(t, "the first is delivered", func() bool { return b.sink.count() == 1 })
		end := b.prepare("k1")
		sent := 1
		for range 2 {
			for range 12 {
				b.burn(1)
				b.commit("other", numbered("o", 10)...)
			}
			sent += 120
			eventually(t, "the others are delivered", func() bool { return b.sink.count() == sent })
			w.settled(b, 0)
			require.NoError(t, stop())
			stop = b.start()
		}
		end()
		b.commit("k", "k2")
		eventually(t, "all are delivered", func() bool { return b.sink.count() == sent+2 && b.empty() })
		require.NoError(t, stop())
		require.True(t, inOrder(b.sink.values(), "k"))
	})
}
