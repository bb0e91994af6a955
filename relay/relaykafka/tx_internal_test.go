package relaykafka

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/relay"
)

func TestATransactionalSessionSaysWhatItWaitsFor(t *testing.T) {
	sink, err := New(Config{Brokers: []string{"broker:9092"}})
	require.NoError(t, err)
	s := newTxSession(sink, relay.Identity{ID: uuid.New()}, nil)
	defer s.cut()
	require.NoError(t, s.Outage())

	s.underWay.Store(&pendingTransaction{since: time.Now(), records: 7})
	require.NoError(t, s.Outage(), "not for long")
	s.underWay.Store(&pendingTransaction{since: time.Now().Add(-outageAfter), records: 7})
	require.ErrorContains(t, s.Outage(), "a transaction of 7 records")
	require.ErrorContains(t, s.Outage(), "broker:9092")
	s.underWay.Store(nil)
	require.NoError(t, s.Outage())
}

func TestTransactionsShrinkWhenTheyTimeOutAndGrowBackWhenTheyAreQuick(t *testing.T) {
	z := newTxSize(Config{Brokers: []string{"b"}}.withDefaults())
	limits := func() []int64 {
		records, bytes := z.limits()
		return []int64{int64(records), bytes}
	}
	items := make([]*txItem, 600)
	for i := range items {
		items[i] = &txItem{size: 1000}
	}
	z.timedOut(items)
	require.Equal(t, []int64{300, 300_000}, limits())
	z.through(transactionTimeout / 2)
	require.Equal(t, []int64{300, 300_000}, limits(), "that was slow")
	z.through(time.Second)
	require.Equal(t, []int64{600, 600_000}, limits())
	for range 20 {
		z.through(time.Second)
	}
	require.Equal(t, []int64{defaultTransactionRecords, defaultTransactionBytes}, limits())
	z.timedOut(items[:1])
	require.Equal(t, []int64{1, 500}, limits(), "one record is the least")
}
