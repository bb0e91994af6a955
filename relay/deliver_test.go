package relay

import (
	"hash/maphash"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAGroupOfSuspectsKeepsTheOrderOfItsKeys(t *testing.T) {
	var records []*Record
	for i, key := range []string{"a", "b", "a", "b", "", "a", "c", "c"} {
		r := &Record{ID: int64(i + 1), Topic: "t"}
		if key != "" {
			r.Key = []byte(key)
		}
		records = append(records, r)
	}
	for _, each := range []struct {
		name        string
		suspects    suspects
		group, rest []int64
	}{
		{"one goes alone", suspects{1: 1, 2: 1}, []int64{1}, []int64{2, 3, 4, 5, 6, 7, 8}},
		{"two of four", suspects{1: 2, 2: 2, 4: 2, 7: 2}, []int64{1, 2}, []int64{3, 4, 5, 6, 7, 8}},
		{"behind one of their key that stays they stay", suspects{1: 8, 2: 1, 4: 8, 5: 8, 6: 8}, []int64{1, 5}, []int64{2, 3, 4, 6, 7, 8}},
		{"of a key, one after the other", suspects{1: 8, 3: 8, 6: 8, 7: 8, 8: 8}, []int64{1, 3, 6, 7, 8}, []int64{2, 4, 5}},
		{"no more than the narrowest of them allows", suspects{1: 8, 2: 3, 3: 8, 4: 8}, []int64{1, 2, 3}, []int64{4, 5, 6, 7, 8}},
	} {
		t.Run(each.name, func(t *testing.T) {
			group, rest := each.suspects.group(records)
			require.Equal(t, each.group, idsOf(group))
			require.Equal(t, each.rest, idsOf(rest))
		})
	}
}

func idsOf(records []*Record) []int64 {
	var ids []int64
	for _, r := range records {
		ids = append(ids, r.ID)
	}
	return ids
}

// A transaction's records are acknowledged one after the other, and the deleter may be as
// quick: all that it knows of the transaction is deleted, and more of it is to come. A
// position behind it would have the next owner pass over the manifest (hazard 18).
func TestATransactionIsNotConfirmedWhileRecordsOfItMayBeUnacknowledged(t *testing.T) {
	f := newFlights(maphash.MakeSeed())
	first, second := &Record{ID: 1}, &Record{ID: 2}
	f.add([]*Record{first, second})
	first.SetTransaction(1)
	f.ack(first, nil)
	f.deleted([]*flight{first.flight})
	require.Zero(t, f.confirmed())
	second.SetTransaction(1)
	f.ack(second, nil)
	require.Zero(t, f.confirmed())
	f.deleted([]*flight{second.flight})
	require.EqualValues(t, 1, f.confirmed())
}
