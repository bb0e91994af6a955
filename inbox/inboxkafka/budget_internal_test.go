package inboxkafka

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What waits must not share memory with the fetch: the records are as they were after that is overwritten.
func TestDetachedRecordsAreTheSameAndShareNothing(t *testing.T) {
	fetch := bytes.Repeat([]byte("abcdefgh"), 64<<10)
	at := 0
	next := func(n int) []byte {
		at += n
		return fetch[at-n : at : at]
	}
	var records, want []*kgo.Record
	for i := range 300 {
		r := &kgo.Record{Offset: int64(i), Topic: "t", LeaderEpoch: 3}
		switch i % 4 {
		case 0:
			r.Key, r.Value = next(10), next(100)
			r.Headers = []kgo.RecordHeader{{Key: "a", Value: next(7)}, {Key: "b"}, {Key: "c", Value: next(0)}}
		case 1:
			r.Value = next(0)
		case 2:
			r.Key = next(3) // a tombstone
		case 3:
			if i%100 == 3 {
				r.Value = next(100_000)
			}
		}
		records = append(records, r)
		c := *r
		c.Key, c.Value, c.Headers = bytes.Clone(r.Key), bytes.Clone(r.Value), nil
		for _, h := range r.Headers {
			c.Headers = append(c.Headers, kgo.RecordHeader{Key: h.Key, Value: bytes.Clone(h.Value)})
		}
		want = append(want, &c)
	}
	detach(records)
	clear(fetch)
	for i := range want {
		require.Equal(t, want[i], records[i], fmt.Sprint("record ", i))
	}
	for i, r := range records { // nor with one another
		for _, b := range [][]byte{r.Key, r.Value} {
			_ = append(b, "overwritten"...)
		}
		require.Equal(t, want[i], r)
	}
	for i := range want {
		require.Equal(t, want[i], records[i])
	}
}
