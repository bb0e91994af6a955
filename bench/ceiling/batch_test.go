package main

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/relay"
)

func TestTheRecordsAreTheRelays(t *testing.T) {
	created := time.Date(2026, 3, 9, 8, 7, 6, 50_000, time.UTC)
	want := relay.Record{EventID: uuid.New(), Topic: "orders", Type: "order.placed", CreatedAt: created}
	headers, err := want.AppendWireHeaders(nil)
	require.NoError(t, err)

	b := newBatch(2, false)
	b.reset()
	for _, key := range [][]byte{[]byte("key-1"), nil} {
		b.add(row{id: 7, eventID: want.EventID, topic: []byte("orders"), key: key, typ: []byte("order.placed"),
			payload: []byte("payload"), created: created.UnixMicro()})
	}
	for i, key := range [][]byte{[]byte("key-1"), nil} {
		got := b.records[i]
		require.Equal(t, key, got.Key)
		require.Equal(t, "orders", got.Topic)
		require.Equal(t, "payload", string(got.Value))
		require.Len(t, got.Headers, len(headers))
		for j, h := range headers {
			require.Equal(t, h.Name, got.Headers[j].Key)
			require.Equal(t, h.Value, string(got.Headers[j].Value))
		}
	}
}

func TestABatchUsedAgainHoldsOnlyItsNewRows(t *testing.T) {
	b := newBatch(1, true)
	for id := int64(1); id <= 3; id++ {
		b.reset()
		b.add(row{id: id, topic: []byte("orders"), key: []byte{byte(id)}, payload: []byte{byte(id)}})
		require.Len(t, b.records, 1)
		require.Equal(t, []int64{id, id}, []int64{b.lo, b.hi})
		require.Equal(t, []byte{byte(id)}, b.records[0].Key)
		require.Empty(t, b.records[0].Headers)
	}
}
