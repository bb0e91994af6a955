package lanes

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/inflight"
)

// window is a Set with the free part of a window of 100 records and their bytes. A record has 10 bytes.
type window struct {
	*Set
	flights *inflight.Set
	size    int64
	id      int64
}

func newWindow() *window {
	flights := inflight.New()
	return &window{Set: NewSet(flights, NewTrials()), flights: flights, size: 1 << 20}
}

func (w *window) free() (rows int, bytes int64) {
	held, _, bytes := w.flights.Counts()
	return 100 - held, w.size - bytes
}

// give offers n records to a lane in one pass, and returns those that the lane accepted.
func (w *window) give(l *Lane, n int) (taken []inflight.Entry) {
	w.BeginPass()
	rows, bytes := w.free()
	for range n {
		if w.Take(l, 10, rows, bytes) {
			w.id++
			taken = append(taken, inflight.Entry{ID: w.id, Size: 10, Lane: &l.Load})
			rows, bytes = rows-1, bytes-10
		}
	}
	w.flights.Add(taken)
	return taken
}

func TestALaneThatIsBlockedTakesHalfOfTheWindow(t *testing.T) {
	w := newWindow()
	require.Len(t, w.give(w.Find("blocked", 0), 100), 50)
	require.Empty(t, w.give(w.Find("blocked", 0), 1))
	require.Len(t, w.give(w.Find("blocked", 1), 100), 25, "another one takes half of what is left")
	rows, bytes := w.free()
	require.False(t, w.HasRoom(w.Find("blocked", 0), rows, bytes))
	require.True(t, w.HasRoom(w.Find("other", 0), rows, bytes))
}

func TestItTakesHalfOfTheBytesToo(t *testing.T) {
	w := newWindow()
	w.size = 200
	require.Len(t, w.give(w.Find("blocked", 0), 100), 10)
	require.Empty(t, w.give(w.Find("blocked", 0), 1))
}

func TestALaneWhoseRecordsAreAcknowledgedIsJudgedByWhatItHeldBefore(t *testing.T) {
	w := newWindow()
	l := w.Find("t", 0)
	first := w.give(l, 10)
	w.flights.Ack(&first[0], nil)
	rows, bytes := w.free()
	require.True(t, w.HasRoom(l, rows, bytes), "who asks for room does not judge the lane")
	require.Len(t, w.give(l, 80), 80, "it empties while they come")
	require.Empty(t, w.give(l, 1), "and is full if it does not")
}

func TestALaneThatDrainsHasNoRoomUntilTheSinkHasNoneOfItsRecords(t *testing.T) {
	w := newWindow()
	l := w.Find("t", 0)
	one := w.give(l, 1)
	l.Drain = true
	rows, bytes := w.free()
	require.False(t, w.HasRoom(l, rows, bytes))
	w.flights.Ack(&one[0], nil)
	require.True(t, w.HasRoom(l, rows, bytes))
	require.False(t, l.Drain)
}

func TestAPassMeetsALaneOnce(t *testing.T) {
	w := newWindow()
	l := w.Find("t", 3)
	require.Same(t, l, w.Find("t", 3))
	require.NotSame(t, l, w.Find("t", 4))
	require.NotSame(t, l, w.Find("u", 3))
	require.Same(t, l.Topic, w.Find("t", 4).Topic)
	w.BeginPass()
	require.True(t, w.First(l))
	require.False(t, w.First(l))
	w.BeginPass()
	require.True(t, w.First(l))
}

// There may be any number of topics. Lanes with records in the sink, on the shelf or on trial stay.
func TestIdleLanesAreForgottenWhenThereAreMany(t *testing.T) {
	w, shelf := newWindow(), Shelf{}
	busy, waits, tried := w.Find("busy", 0), w.Find("waits", 0), w.Find("tried", 0)
	w.give(busy, 1)
	shelf.Add([]Row{{1, waits}})
	tried.Topic.Trial = &Trial{}
	for i := range keptLanes - 4 {
		w.Find(fmt.Sprint("idle-", i), 0)
	}
	w.Prune()
	require.Len(t, w.lanes, keptLanes-1, "there is no need")
	w.Find("last", 0)
	w.Prune()
	require.Len(t, w.lanes, 2)
	require.Len(t, w.topics, 3)
	require.Same(t, busy, w.Find("busy", 0))
	require.Same(t, waits, w.Find("waits", 0))
	require.Same(t, tried.Topic, w.Topic("tried"))
}

func TestRowsLeaveTheShelfInOrderAndByTheirLanes(t *testing.T) {
	set, shelf := newWindow().Set, Shelf{}
	a, b := set.Find("t", 0), set.Find("t", 1)
	shelf.Add([]Row{{3, a}, {4, b}, {5, a}, {9, a}})
	shelf.Add([]Row{{1, a}, {10, a}}) // row 1 was committed late
	require.Equal(t, []int64{1, 3, 4, 5, 9, 10}, shelf.IDs())
	require.Equal(t, []int{5, 1, 6, 6}, []int{a.Shelved, b.Shelved, a.Topic.Shelved, shelf.Len()})
	require.True(t, shelf.Has(4))
	require.False(t, shelf.Has(2))

	all := func(*Lane) bool { return true }
	onlyA := func(l *Lane) bool { return l == a }
	require.Equal(t, []Row{{1, a}, {3, a}, {5, a}}, shelf.Take(3, 9, onlyA), "row 4 stays")
	require.Equal(t, []int64{4, 9, 10}, shelf.IDs())
	require.Equal(t, []Row{{4, b}}, shelf.Take(9, 1, all), "rows 9 and 10 would be a second range")
	taken := shelf.Take(9, 1, all)
	require.Equal(t, []store.Range{{Lo: 9, Hi: 10}}, Ranges(taken), "both are one range")
	require.Equal(t, []int{0, 0, 0, 0}, []int{a.Shelved, b.Shelved, a.Topic.Shelved, shelf.Len()})

	shelf.Add(taken)
	shelf.Clear()
	require.Equal(t, []int{0, 0, 0}, []int{a.Shelved, a.Topic.Shelved, shelf.Len()})
}
