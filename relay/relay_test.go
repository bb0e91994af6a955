package relay

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
)

func TestWhatWasCommittedIsDeliveredInOrderAndDeleted(t *testing.T) {
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
