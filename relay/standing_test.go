package relay

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
)

// Lanes are blocked one after another, each with more rows than it may have in the window. In the past the
// third lane filled the window: a lane that had nothing in it got everything that was free.
func TestLanesThatStandStillOneAfterAnotherLeaveRoomForOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	b.cfg.MaxInFlight, b.cfg.BatchSize = 100, 20
	sink := &standing{testSink: b.sink, still: map[string]bool{}}
	r := b.relay()
	r.cfg.Sink = sink
	for i := range 4 {
		topic := fmt.Sprint("still-", i)
		sink.still[topic] = true
		b.commitTo(topic, "s", numbered("s", 100)...)
	}
	b.commitTo("t", "k", numbered("k", 50)...)
	stop := start(t, r)
	eventually(t, "the others are delivered", func() bool { return len(sink.of("k")) == 50 })
	for i := range 4 {
		sink.goOn(fmt.Sprint("still-", i))
	}
	eventually(t, "all is delivered", b.empty)
	require.NoError(t, stop())
}

// Rows of a topic that is not ready are read together with one of a blocked lane. In the past the one row
// kept the memory of all of them while the lane was blocked, beyond MaxInFlightBytes.
func TestRowsOnTheShelfHoldNoPayloads(t *testing.T) {
	const rows, size, most = 300, 100 << 10, 10 << 20
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	b.cfg.MaxInFlight, b.cfg.BatchSize = 1000, 20
	sink := &standing{testSink: b.sink, still: map[string]bool{"still": true},
		notReady: map[string]bool{"missing": true}}
	r := b.relay()
	r.cfg.Sink = sink
	large := strings.Repeat("x", size)
	for i := range rows {
		b.commitTo("missing", "m", large)
		if i%10 == 0 {
			b.commitTo("still", "s", "s")
		}
	}
	b.commitTo("t", "k", "k1")
	before := heapInUse()
	stop := start(t, r)
	eventually(t, "all were read", func() bool { return len(sink.of("k")) == 1 })
	require.Less(t, heapInUse(), before+most, "of %d bytes on the shelf", rows*size)
	sink.goOn("missing")
	sink.goOn("still")
	eventually(t, "all is delivered", b.empty)
	require.NoError(t, stop())
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// shelfReads counts the reads of rows on the shelf between two reads of the table.
type shelfReads struct {
	database
	row, most atomic.Int64
}

func (s *shelfReads) Read(ctx context.Context, q store.ReadQuery,
	visit func(*store.Row) bool) (store.ReadInfo, error) {
	if !q.GapsOnly {
		s.row.Store(0)
	} else if n := s.row.Add(1); n > s.most.Load() {
		s.most.Store(n)
	}
	return s.database.Read(ctx, q, visit)
}

// One rejection put a hundred topics on trial. In the past their groups were read one after another before
// the table was read again.
func TestTrialsOfManyTopicsLetTheReaderReadInBetween(t *testing.T) {
	const topics = 100
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	reads := &shelfReads{}
	b.naive = func(s database) database { reads.database = s; return reads }
	b.refuse("bad")
	b.commitTo("topic-0", "k", "bad")
	for i := range topics {
		b.commitTo(fmt.Sprint("topic-", i), "k", "k")
	}
	stop := b.start()
	eventually(t, "all but the refused ones and those behind them are delivered", b.empty)
	require.NoError(t, stop())
	require.LessOrEqual(t, reads.most.Load(), int64(groupsAtOnce+1))
	require.NotZero(t, reads.most.Load())
}
