package inflight

import (
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	store "github.com/postroom/postroom/internal/store/relay"
)

// resending has the methods of Set that the scenario of hazard read-during-delete needs.
type resending interface {
	BeginRead()
	EndRead()
	Add([]Entry)
	Ack(*Entry, error) bool
	TakeDelivered(all bool, limit int) []*Entry
	Deleted([]*Entry)
	Lookup(int64, uuid.UUID) (held, same bool)
}

// forgetful forgets an id as soon as its delete has committed.
type forgetful struct{ *Set }

func (forgetful) BeginRead() {}

// Hazard read-during-delete: a read takes its snapshot, the row's delete commits, and the read returns the
// row. A set that has forgotten the id by then sends the row again.
func TestHazardAReadThatBeganBeforeADeleteResends(t *testing.T) {
	scenario := func(set resending) (resent bool) {
		entries := []Entry{{ID: 1, EventID: uuid.New()}}
		row := entries[0].Event()
		set.Add(entries)
		set.BeginRead() // the snapshot has row 1
		set.Ack(&entries[0], nil)
		set.Deleted(set.TakeDelivered(true, 1))
		held, _ := set.Lookup(row.ID, row.EventID)
		set.EndRead()
		after, _ := set.Lookup(row.ID, row.EventID)
		require.False(t, after, "the id must not stay for ever")
		return !held
	}
	require.False(t, scenario(New()))
	require.True(t, scenario(forgetful{New()}), "the scenario does not catch the naive way")
}

// The sink acknowledges a transaction's records one after another, and the deleter may be as fast. Then
// everything that it knows of the transaction is deleted, and more records follow. A position behind the
// transaction would make the next owner skip its manifest (hazard early-position).
func TestATransactionIsNotConfirmedWhileRecordsOfItMayBeUnacknowledged(t *testing.T) {
	s := New()
	entries := []Entry{{ID: 1}, {ID: 2}}
	first, second := &entries[0], &entries[1]
	s.Add(entries)
	first.Transaction = 1
	s.Ack(first, nil)
	s.Deleted([]*Entry{first})
	require.Zero(t, s.Confirmed())
	second.Transaction = 1
	s.Ack(second, nil)
	require.Zero(t, s.Confirmed())
	s.Deleted([]*Entry{second})
	require.EqualValues(t, 1, s.Confirmed())
}

// The counts stay correct whatever the sink does: one record is acknowledged twice, another fails, a third
// belongs to a parked row, and a fourth is locked.
func TestTheSetCountsWhatIsWhere(t *testing.T) {
	s, topic := New(), &Topic{Name: "t"}
	lane := &Lane{Topic: topic}
	entries := []Entry{
		{ID: 1, Size: 10, Lane: lane}, {ID: 2, Size: 20, Lane: lane, Hash: 5}, {ID: 1, Seq: 7, Size: 30, Lane: lane},
		{ID: 4, Size: 40, Lane: lane},
	}
	s.Add(entries)
	require.EqualValues(t, 4, s.Highest())
	require.Equal(t, 4, s.WaitingOf(topic))
	require.Equal(t, map[uint64]bool{5: true}, s.WaitingKeys())
	require.Equal(t, []int64{1, 2, 4}, ids(s.Rows()), "the parked row is another one than row 1")

	require.True(t, s.Ack(&entries[0], nil))
	require.False(t, s.Ack(&entries[0], nil), "once is enough")
	require.False(t, s.Ack(nil, nil), "a record that was never given to the sink")
	require.True(t, s.Ack(&entries[1], errors.New("rejected")))
	require.True(t, s.Ack(&entries[2], nil))
	waiting, bytes, moved := s.Progress(lane)
	require.Equal(t, []any{1, int64(40), true}, []any{waiting, bytes, moved})
	_, _, moved = s.Progress(lane)
	require.False(t, moved, "nothing since the last look")
	held, unacknowledged, size := s.Counts()
	require.Equal(t, []any{4, 1, int64(40)}, []any{held, unacknowledged, size})
	require.Len(t, s.Failures(), 1)
	require.EqualValues(t, 2, s.DeliveredTotal())
	require.Equal(t, 1, s.Undeleted(), "the reader deletes the parked row, and what failed stays")

	require.True(t, s.Ack(&entries[3], nil))
	taken := s.TakeDelivered(true, MaxDelete)
	require.Equal(t, []int64{1, 4}, ids(Events(taken)))
	s.Deleted(taken[:1])
	require.True(t, s.SetLocked(taken[1:]))
	require.Zero(t, s.Undeleted())
	require.Equal(t, []int64{4}, ids(Events(s.Locked())))
	require.Len(t, s.Leftover(), 1, "a later session has to delete the locked row")
	require.Equal(t, []*Entry{&entries[2]}, s.DeliveredOf([]*Entry{&entries[1], &entries[2]}))
}

func ids(events []store.Event) (list []int64) {
	for _, e := range events {
		list = append(list, e.ID)
	}
	return list
}

func TestAFailedRecordIsOvertakenByALaterOneOfItsKey(t *testing.T) {
	for name, each := range map[string]struct {
		later []Entry
		want  bool
	}{
		"none":        {nil, false},
		"another key": {[]Entry{{ID: 2, Hash: 8}}, false},
		"its key":     {[]Entry{{ID: 2, Hash: 8}, {ID: 3, Hash: 7}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := New()
			failed := []Entry{{ID: 1, Hash: 7}}
			s.Add(failed)
			s.Add(each.later)
			for i := range each.later {
				s.Ack(&each.later[i], nil)
			}
			s.Ack(&failed[0], errors.New("rejected"))
			require.Equal(t, each.want, s.Overtaken(&failed[0]))
		})
	}
	s := New()
	failed := []Entry{{ID: 1, Hash: 7}}
	s.Add(failed)
	for i := range int64(maxRecent) {
		s.Add([]Entry{{ID: 2 + i, Hash: 8}})
	}
	s.Ack(&failed[0], errors.New("rejected"))
	require.True(t, s.Overtaken(&failed[0]), "what followed is not known any more")
}
