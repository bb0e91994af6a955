package inbox_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
)

func TestAConsumerTellsWhatItDidAndWhatIsLeft(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1))
		empty, err := ib.Stats(t.Context(), b.DB)
		require.NoError(t, err)
		require.Zero(t, empty)
		require.Zero(t, ib.Counts())

		process := func(id, key string, h func(context.Context, *sql.Tx) error) {
			t.Helper()
			_, err := ib.Process(t.Context(), b.DB, inbox.Message{ID: id, Topic: "orders", Key: key}, h)
			require.NoError(t, err)
		}
		failing := func(context.Context, *sql.Tx) error { return errHandler }
		process("m1", "", b.effect("m1"))
		process("m1", "", b.effect("m1"))
		process("m2", "k", failing)
		process("m3", "k", b.effect("m3"))
		batch := []inbox.Message{{ID: "m4", Topic: "orders"}, {ID: "m1", Topic: "orders"},
			{ID: "m5", Topic: "orders", Key: "k"}}
		_, err = ib.ProcessBatch(t.Context(), b.DB, batch,
			func(context.Context, *sql.Tx, []inbox.Message) error { return nil })
		require.NoError(t, err)
		require.Equal(t, inbox.Counts{Applied: 2, Duplicates: 2, Parked: 3}, ib.Counts())
		b.makeOlder(t, time.Hour)

		s, err := ib.Stats(t.Context(), b.DB)
		require.NoError(t, err)
		require.EqualValues(t, 5, s.Rows)
		require.InDelta(t, time.Hour, s.Window, float64(time.Minute))
		require.Positive(t, s.OldestParked)
		require.Less(t, s.OldestParked, time.Minute)
		s.Window, s.OldestParked = 0, 0
		require.Equal(t, inbox.Stats{Rows: 5, Failed: 1, Blocked: 2, BlockedKeys: 1}, s)

		other, err := b.inbox(t, "mail").Stats(t.Context(), b.DB)
		require.NoError(t, err)
		require.Zero(t, other)
	})
	b := onSQLite(t)
	b.exec(t, "DROP TABLE inbox_parked")
	_, err := b.inbox(t, "billing").Stats(t.Context(), b.DB)
	require.ErrorContains(t, err, "relay migrate up")
}
