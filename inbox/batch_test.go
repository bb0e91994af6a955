package inbox_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
)

func messages(ids ...string) []inbox.Message {
	ms := make([]inbox.Message, len(ids))
	for i, id := range ids {
		ms[i] = inbox.Message{ID: id}
	}
	return ms
}

// acceptAll accepts in a transaction of its own and commits.
func (b bench) acceptAll(t *testing.T, ib *inbox.Inbox, ms []inbox.Message) []bool {
	t.Helper()
	tx := b.begin(t)
	fresh, err := ib.AcceptBatch(t.Context(), tx, ms)
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	return fresh
}

func TestABatchSaysOfEachMessageWhetherItIsFresh(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing")
		require.True(t, b.accept(t, ib, inbox.Message{ID: "b"}))
		require.Equal(t, []bool{true, false, true}, b.acceptAll(t, ib, messages("c", "b", "a")))
		require.Equal(t, []bool{false, false, true, false}, b.acceptAll(t, ib, messages("a", "b", "d", "c")))
		require.Equal(t, []bool{true, true}, b.acceptAll(t, b.inbox(t, "mail"), messages("a", "b")),
			"another consumer's")
		require.Empty(t, b.acceptAll(t, ib, nil))
		require.False(t, b.accept(t, ib, inbox.Message{ID: "d"}))
	})
}

// Hazard copy-in-batch: the handler must see an id once, and the first copy of it.
func TestHazardTheSameIDTwiceInABatch(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing")
		require.Equal(t, []bool{true, false, true, false, false}, b.acceptAll(t, ib, messages("x", "x", "a", "a", "x")))
		require.Equal(t, []bool{false, false}, b.acceptAll(t, ib, messages("x", "x")))
	})
}

// Hazard copy-in-batch.
// Ids that look alike to a collation, to a list's syntax or to a character set are different.
func TestABatchComparesIDsByteByByte(t *testing.T) {
	ids := []string{
		"abc", "ABC", "abc ", " abc", `a"b`, `a\b`, `a\"b`, "a'b", "a,b", "{a}", "[a]", "NULL", "null", "äöü", "ÄÖÜ",
		"日本語", "😀", "a\nb", "a\tb", "<&>",
		strings.Repeat("x", inbox.MaxMessageID), strings.Repeat("x", inbox.MaxMessageID-1),
		strings.Repeat("é", inbox.MaxMessageID/2),
	}
	eachLayout(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing")
		all := make([]bool, len(ids))
		none := make([]bool, len(ids))
		for i := range all {
			all[i] = true
		}
		require.Equal(t, all, b.acceptAll(t, ib, messages(ids...)))
		require.Equal(t, none, b.acceptAll(t, ib, messages(ids...)))
		for _, id := range ids {
			require.False(t, b.accept(t, ib, inbox.Message{ID: id}), "%q, one by one", id)
		}
		require.Equal(t, len(ids), b.count(t, "SELECT count(*) FROM inbox_events"))
	})
}

func TestABatchStoresPositions(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing")
		b.acceptAll(t, ib, []inbox.Message{
			{ID: "with", Position: &inbox.Position{Topic: `orders"\{é}`, Partition: 7, Offset: 1 << 40}},
			{ID: "without"},
			{ID: "zero", Position: &inbox.Position{Topic: "o"}},
		})
		require.Equal(t, 1,
			b.count(t, "SELECT count(*) FROM inbox_events WHERE message_id = ? AND kafka_topic = ? AND "+
				"kafka_partition = 7 AND kafka_offset = 1099511627776",
				"with", `orders"\{é}`))
		require.Equal(t, 1, b.count(t, "SELECT count(*) FROM inbox_events WHERE kafka_topic IS NULL"))
		require.Equal(t, 1,
			b.count(t, "SELECT count(*) FROM inbox_events WHERE kafka_partition = 0 AND kafka_offset = 0"))
	})
}

func TestABatchThatRollsBackIsFreshAgain(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing")
		tx := b.begin(t)
		fresh, err := ib.AcceptBatch(t.Context(), tx, messages("a", "b"))
		require.NoError(t, err)
		require.Equal(t, []bool{true, true}, fresh)
		fresh, err = ib.AcceptBatch(t.Context(), tx, messages("b", "c"))
		require.NoError(t, err)
		require.Equal(t, []bool{false, true}, fresh, "the transaction's own")
		require.NoError(t, tx.Rollback())
		require.Equal(t, []bool{true, true, true}, b.acceptAll(t, ib, messages("a", "b", "c")))
	})
}

// Hazard crossed-batches.
// Two batches with the same ids, in opposite orders, at the same time: no deadlock, and each
// id is fresh in one of them.
func TestBatchesWithTheSameIDsWaitForOneAnother(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing")
		forward := make([]inbox.Message, 500)
		backward := make([]inbox.Message, len(forward))
		for round := range 5 {
			for i := range forward {
				forward[i] = inbox.Message{ID: fmt.Sprintf("%d-%04d", round, i)}
				backward[len(backward)-1-i] = forward[i]
			}
			applied := make([]int, 2)
			errs := make(chan error, 2)
			for n, ms := range [][]inbox.Message{forward, backward} {
				go func() {
					tx, err := b.DB.BeginTx(t.Context(), nil)
					if err != nil {
						errs <- err
						return
					}
					fresh, err := ib.AcceptBatch(t.Context(), tx, ms)
					if err != nil {
						_ = tx.Rollback()
						errs <- err
						return
					}
					for _, f := range fresh {
						if f {
							applied[n]++
						}
					}
					errs <- tx.Commit()
				}()
			}
			require.NoError(t, <-errs)
			require.NoError(t, <-errs)
			require.Equal(t, len(forward), applied[0]+applied[1])
		}
	})
}

func TestABatchThatCannotBeIsRefusedBeforeAnySQL(t *testing.T) {
	b := onSQLite(t)
	ib := b.inbox(t, "billing")
	_, err := ib.AcceptBatch(t.Context(), nil, messages("a"))
	require.ErrorIs(t, err, inbox.ErrNoTransaction)
	tx := b.begin(t)
	_, err = ib.AcceptBatch(t.Context(), tx, messages("a", ""))
	require.ErrorIs(t, err, inbox.ErrNoID)
	require.ErrorContains(t, err, "message 1")
	_, err = ib.AcceptBatch(t.Context(), tx, make([]inbox.Message, inbox.MaxBatch+1))
	require.ErrorIs(t, err, inbox.ErrTooLarge)
	require.Equal(t, []bool{true}, b.acceptIn(t, ib, tx, messages("a")), "the transaction is usable")
}

func (b bench) acceptIn(t *testing.T, ib *inbox.Inbox, tx inbox.Tx, ms []inbox.Message) []bool {
	t.Helper()
	fresh, err := ib.AcceptBatch(t.Context(), tx, ms)
	require.NoError(t, err)
	return fresh
}
