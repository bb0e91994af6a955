package relay

import (
	"hash/maphash"
	"testing"

	"github.com/stretchr/testify/require"
)

// A transaction's records are acknowledged one after the other, and the deleter may be as
// quick: all that it knows of the transaction is deleted, and more of it is to come. A
// position behind it would have the next owner pass over the manifest (hazard early-position).
func TestATransactionIsNotConfirmedWhileRecordsOfItMayBeUnacknowledged(t *testing.T) {
	f := newInFlightSet(maphash.MakeSeed())
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
