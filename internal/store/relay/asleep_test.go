package relay_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/relay"
)

// A read skips a gap while all transactions that may fill it are running in its own snapshot. The test puts
// rows of other transactions there. They are not returned, which shows that the read did not look. The number
// stays the transaction's through savepoints and PREPARE TRANSACTION.
func TestAReadPassesOverAGapWhoseTransactionsAllRun(t *testing.T) {
	for name, fresh := range map[string]func(testing.TB) dbtest.Database{
		"15": dbtest.PostgreSQL, "18": dbtest.PostgreSQL18,
	} {
		t.Run(name, func(t *testing.T) {
			db := dbtest.Migrate(t, fresh(t))
			r := newRelay(t, db)
			ids := insert(t, db, 5)
			tx := begin(t, db.DB, nil)
			number := func() uint64 {
				w, err := r.OpenWriters(t.Context())
				require.NoError(t, err)
				require.Len(t, w.Open, 1)
				return w.Open[0].Number
			}
			run := func(statement string) {
				_, err := tx.ExecContext(context.Background(), statement)
				require.NoError(t, err)
			}
			run("LOCK TABLE outbox_events IN ROW EXCLUSIVE MODE")
			require.Zero(t, number(), "it has written nothing yet, and may take an id at any time")
			run("INSERT INTO outbox_events (topic) VALUES ('t')")
			own := number()
			require.NotZero(t, own)
			run("SAVEPOINT a")
			run("INSERT INTO outbox_events (topic) VALUES ('t')")
			require.Equal(t, own, number(), "the number is that of a savepoint")

			q := relay.ReadQuery{
				Gaps: []relay.Range{{Lo: ids[0], Hi: ids[1]}, {Lo: ids[3], Hi: ids[4] + 2}}, Head: ids[4] + 2,
				Limit: 10,
			}
			q.Asleep = [][]uint64{nil, {own}}
			require.Equal(t, ids[:2], readIDs(t, r, q, 10))
			name := "'" + uuid.NewString() + "'"
			run("PREPARE TRANSACTION " + name)
			t.Cleanup(func() { _, _ = db.DB.Exec("ROLLBACK PREPARED " + name) })
			_ = tx.Rollback()
			require.Equal(t, own, number())
			require.Equal(t, ids[:2], readIDs(t, r, q, 10))
			other := begin(t, db.DB, nil)
			_, err := other.ExecContext(t.Context(), "INSERT INTO outbox_events (topic) VALUES ('other')")
			require.NoError(t, err)
			w, err := r.OpenWriters(t.Context())
			require.NoError(t, err)
			require.Len(t, w.Open, 2)
			q.Asleep[1] = []uint64{w.Open[0].Number, w.Open[1].Number}
			require.Equal(t, ids[:2], readIDs(t, r, q, 10))
			exec(t, db.DB, "COMMIT PREPARED "+name)
			require.Equal(
				t, append(ids[:2:2], ids[3], ids[4], ids[4]+1, ids[4]+2), readIDs(t, r, q, 10), "one of two has ended",
			)
			require.NoError(t, other.Rollback())
		})
	}
}
