package relay

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/outbox"
)

func TestWhatWasCommittedIsDeliveredInOrderAndDeleted(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		for i := range 3000 {
			if i%100 == 0 {
				tx := b.begin()
				b.add(tx, "k", "rolled back")
				require.NoError(t, tx.Rollback())
			}
			if i < 20 || i%100 == 0 {
				b.commit("k", fmt.Sprintf("k%d", i+1))
			}
		}
		want := b.rows()
		stop := b.start()
		eventually(t, "the table is empty", b.empty)
		b.commit("k", "k9000")
		eventually(t, "the table is empty again", b.empty)
		require.NoError(t, stop())
		require.Len(t, b.sink.values(), want+1)
		require.True(t, inOrder(b.sink.values(), "k"), b.sink.values())
	})
}

func TestEveryPayloadArrivesAsItWasWritten(t *testing.T) {
	t.Parallel()
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		var got [][]byte
		b.sink.verdict = func(r *Record) error { got = append(got, r.Payload); return nil }
		want := [][]byte{nil, {}, every, make([]byte, 1<<20)}
		tx := b.begin()
		for _, payload := range want {
			require.NoError(t, b.ob.Add(t.Context(), tx, outbox.Event{Topic: "t", Payload: payload}))
		}
		require.NoError(t, tx.Commit())
		stop := b.start()
		eventually(t, "they are delivered", b.empty)
		require.NoError(t, stop())
		require.Equal(t, want, got)
	})
}
