package replica_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/postroom/postroom/inbox/replica"
	"github.com/postroom/postroom/internal/dbtest"
)

// Any order and any number of copies of a history, cut into batches anywhere, end in the
// state that the history ends in.
func testRandomHistoriesEndAsTheSourceDoes(t *testing.T, db dbtest.Database, r *replica.Replica) {
	base := int64(0)
	rapid.Check(t, func(rt *rapid.T) {
		base += 100 // keys of its own for each history
		source := map[int64]string{}
		version := map[int64]int64{}
		var sent []replica.Change
		for range rapid.IntRange(1, 25).Draw(rt, "changes") {
			id := base + rapid.Int64Range(1, 4).Draw(rt, "key")
			version[id] += rapid.Int64Range(1, 3).Draw(rt, "step")
			c := gone(id, version[id])
			delete(source, id)
			if rapid.Bool().Draw(rt, "keeps") {
				source[id] = strconv.FormatInt(version[id], 10)
				c = put(id, version[id], source[id])
			}
			for range rapid.IntRange(1, 2).Draw(rt, "copies") {
				sent = append(sent, c)
			}
		}
		sent = rapid.Permutation(sent).Draw(rt, "order")
		for len(sent) > 0 {
			n := rapid.IntRange(1, len(sent)).Draw(rt, "batch")
			apply(t, db, r, sent[:n]...)
			sent = sent[n:]
		}
		got := map[int64]string{}
		for id, name := range rows(t, db) {
			if id > base {
				got[id] = name
			}
		}
		require.Equal(rt, source, got)
	})
}
