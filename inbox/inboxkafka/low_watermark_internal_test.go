package inboxkafka

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheLowWaterMarkNeverPassesAnUnfinishedRecord(t *testing.T) {
	var l lowWatermark
	a, b, c := l.begin(10, 1), l.begin(11, 1), l.begin(15, 2) // 12 to 14: a transaction's marks
	l.finish(b)
	require.False(t, l.moved)
	l.finish(a)
	require.Equal(t, position{12, 1}, l.next)
	d := l.begin(16, 2)
	l.finish(d)
	require.Equal(t, position{12, 1}, l.next)
	l.finish(c)
	require.Equal(t, position{17, 2}, l.next)
	require.Empty(t, l.open)
}

func TestTheLowWaterMarkInAnyOrder(t *testing.T) {
	for range 200 {
		var l lowWatermark
		open := make(map[uint64]int64)
		offset := int64(0)
		for range 100 {
			if len(open) == 0 || rand.IntN(2) == 0 {
				offset += 1 + rand.Int64N(3)
				open[l.begin(offset, 0)] = offset
				continue
			}
			for ticket := range open {
				delete(open, ticket)
				l.finish(ticket)
				break
			}
			for _, unfinished := range open {
				require.LessOrEqual(t, l.next.offset, unfinished)
			}
			if len(open) == 0 {
				require.Equal(t, offset+1, l.next.offset)
			}
		}
	}
}
