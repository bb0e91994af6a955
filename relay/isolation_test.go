package relay

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/relay/internal/inflight"
	"github.com/postroom/postroom/relay/internal/lanes"
)

// fixedLanes is a sink that uses the length of a record's key as its lane.
type fixedLanes struct {
	Session
	down map[string]bool // topics that are not ready
}

func (f fixedLanes) Learn(context.Context, []*Record)      {}
func (f fixedLanes) Lane(r *Record) int32                  { return int32(len(r.Key)) }
func (f fixedLanes) Ready(topic string, number int32) bool { return !f.down[topic] }

// newTestIsolation makes an isolation with a window of 8 records.
func newTestIsolation() *isolation {
	i := newIsolation(&Config{MaxInFlight: 8, MaxInFlightBytes: 1 << 20}, inflight.New(), lanes.NewTrials())
	i.sinkLanes = fixedLanes{down: map[string]bool{"down": true}}
	return i
}

// records makes one record for each topic, with ids from 1.
func records(topics ...string) (list []*Record) {
	for i, topic := range topics {
		list = append(list, &Record{ID: int64(i + 1), Topic: topic})
	}
	return list
}

func idsOf(list []*Record) (ids []int64) {
	for _, r := range list {
		ids = append(ids, r.ID)
	}
	return ids
}

// withSink gives records to the sink.
func (i *isolation) withSink(list []*Record) []inflight.Entry {
	entries := make([]inflight.Entry, len(list))
	for n, r := range list {
		entries[n] = inflight.Entry{ID: r.ID, Size: recordSize(r), Lane: &i.laneOf(r).Load}
		r.entry = &entries[n]
	}
	i.inFlight.Add(entries)
	return entries
}

func TestOnlyTheRecordsThatHaveToWaitGoToTheShelf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, each := range map[string]struct {
			before    func(*isolation)
			read      []*Record
			goes, not []int64
		}{
			"nothing stands in the way": {func(*isolation) {}, records("a", "b", "a"), []int64{1, 2, 3}, nil},
			"a lane is not ready":       {func(*isolation) {}, records("down", "b", "down"), []int64{2}, []int64{1, 3}},
			"a topic is on trial": {
				func(i *isolation) { i.trials.Reject("a", 2) }, records("a", "b", "a"), []int64{2}, []int64{1, 3},
			},
			"an earlier row of the lane waits": {
				func(i *isolation) { i.shelf.Add([]lanes.Row{{ID: 100, Lane: i.laneOf(&Record{Topic: "a"})}}) },
				records("a", "b", "a"), []int64{2}, []int64{1, 3, 100},
			},
			"a lane rests, because a row of it is locked": {
				func(i *isolation) { i.laneOf(&Record{Topic: "a"}).Rest = time.Now().Add(time.Second) },
				records("a", "b"), []int64{2}, []int64{1},
			},
			"a lane has rested": {
				func(i *isolation) { i.laneOf(&Record{Topic: "a"}).Rest = time.Now() }, records("a", "b"),
				[]int64{1, 2}, nil,
			},
		} {
			i := newTestIsolation()
			each.before(i)
			require.Equal(t, each.goes, idsOf(i.holdBack(t.Context(), each.read)), name)
			require.Equal(t, each.not, append([]int64(nil), i.shelf.IDs()...), name)
		}
	})
}

// A full lane takes no more than half of the window, and its records stay in order.
func TestWhatALaneHasNoRoomForStaysBehind(t *testing.T) {
	i := newTestIsolation()
	list := i.holdBack(t.Context(), records("a", "a", "a", "b", "a", "a", "b", "a"))
	fit, over := i.split(list)
	require.Equal(t, []int64{1, 2, 3, 4, 5, 7}, idsOf(fit))
	require.Equal(t, []int64{6, 8}, idsOf(over))

	i.withSink(fit)
	fit, over = i.split(over)
	require.Empty(t, fit, "nothing was acknowledged")
	require.Equal(t, []int64{6, 8}, idsOf(over))
	for _, r := range list[:3] {
		i.inFlight.Ack(r.entry, nil)
	}
	fit, _ = i.split(over)
	require.Equal(t, []int64{6, 8}, idsOf(fit), "the lane empties, and it had room when the pass began")

	i.shelve(over)
	require.Equal(t, []int64{6, 8}, i.shelf.IDs())
}

func TestParkedRecordsAreSentAgainWhenTheirLaneAndTheTrialOfTheirTopicAllowIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, each := range map[string]struct {
			before func(*isolation)
			goes   []int64
		}{
			"one is not ready":      {func(*isolation) {}, []int64{2, 3, 4}},
			"its topic is on trial": {func(i *isolation) { i.trials.Reject("a", 4) }, []int64{4, 2, 3}},
			"in groups":             {func(i *isolation) { i.trials.Reject("a", 2) }, []int64{4, 2}},
			"the sink has one of the topic": {func(i *isolation) { i.trials.Reject("a", 4); i.withSink(records("a")) },
				[]int64{4}},
			"a session has just been opened": {func(
				i *isolation) {
				i.trials.Reject("a", 4)
				i.trialsFrom = time.Now().Add(1)
			}, []int64{4}},
		} {
			i := newTestIsolation()
			each.before(i)
			require.Equal(t, each.goes, idsOf(i.sendable(t.Context(), records("down", "a", "a", "b"))), name)
		}
	})
}
