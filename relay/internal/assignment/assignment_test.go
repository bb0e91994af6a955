package assignment

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	store "github.com/postroom/postroom/internal/store/relay"
)

func TestQuotasAddUpToWhatThereIs(t *testing.T) {
	for _, each := range []struct{ owned, want []int }{
		{[]int{12}, []int{12}},
		{[]int{12, 0, 0}, []int{4, 4, 4}},
		{[]int{6, 6, 0}, []int{4, 4, 4}},
		{[]int{5, 5, 5, 3}, []int{5, 5, 4, 4}},
		{[]int{1, 0, 0}, []int{1, 0, 0}},
		{[]int{0, 0}, []int{0, 0}},
	} {
		peers := make([]peer, len(each.owned))
		for i, n := range each.owned {
			peers[i] = peer{id: uuid.UUID{byte(i)}, owned: n}
		}
		var got []int
		for i, me := range peers {
			var others []peer
			others = append(others, peers[:i]...)
			got = append(got, quota(me, append(others, peers[i+1:]...)))
		}
		require.Equal(t, each.want, got, "%v", each.owned)
	}
}

func TestOfEqualsEachSourceChoosesItsOwn(t *testing.T) {
	peers := []peer{{id: uuid.New(), owned: 1}, {id: uuid.New(), owned: 1}, {id: uuid.New(), owned: 2}}
	chosen := map[uuid.UUID]int{}
	for i := range 200 {
		next, ok := fewest(string(rune('a'+i)), peers)
		require.True(t, ok)
		chosen[next.id]++
	}
	require.Zero(t, chosen[peers[2].id])
	require.Greater(t, chosen[peers[0].id], 50)
	require.Greater(t, chosen[peers[1].id], 50)
	_, ok := fewest("s", nil)
	require.False(t, ok)
}

// waiter is an assignment of a process that owns this many sources elsewhere and sees these other processes.
func waiter(owned int, now time.Time, others ...store.Member) *Assignment {
	s := New(NewMember(), "s", 8*time.Second)
	for range owned {
		s.member.took(now.Add(-time.Hour))
	}
	s.NoteOthers(others, owned, now)
	return s
}

func TestAFreeSourceIsClaimedByWhoeverOwnsFewest(t *testing.T) {
	now := time.Now()
	other := store.Member{ID: uuid.New(), Owned: 2}
	free := store.LeaseState{Free: true}

	require.Positive(t, waiter(0, now, other).Wait(store.LeaseState{}, now), "it is held")
	require.Zero(t, waiter(9, now).Wait(free, now), "there is nobody else")
	require.Zero(t, waiter(1, now, other).Wait(free, now))

	s := waiter(3, now, other)
	require.Positive(t, s.Wait(free, now), "the other goes first")
	require.Positive(t, s.Wait(free, now.Add(1999*time.Millisecond)))
	require.Zero(t, s.Wait(free, now.Add(2*time.Second)), "but not for longer than a quarter of the lease")
	require.Zero(t, s.Wait(free, now.Add(time.Minute)), "the other was not seen for long")

	silent := other
	silent.Age = 17 * time.Second
	require.Zero(t, waiter(3, now, silent).Wait(free, now), "a process that fell silent does not count")
}

func TestAnHeirGoesFirst(t *testing.T) {
	now := time.Now()
	other := store.Member{ID: uuid.New(), Owned: 2}
	s := waiter(9, now, other)
	require.Zero(t, s.Wait(store.LeaseState{Free: true, Heir: s.member.id}, now), "though the other owns fewer")
	s = waiter(0, now, other)
	require.Positive(t, s.Wait(store.LeaseState{Free: true, Heir: other.ID}, now), "though the other owns more")
	require.Zero(t, waiter(0, now, other).Wait(store.LeaseState{Free: true, Heir: uuid.New()}, now),
		"an heir that is gone")
}

func TestAnOwnerHandsOverToOneThatOwnsTwoFewer(t *testing.T) {
	began := time.Now()
	now := began.Add(time.Minute)
	other := store.Member{ID: uuid.New(), Owned: 2}
	owner := func(owned int, others ...store.Member) *Assignment {
		s := waiter(owned-1, began, others...)
		s.Began(began)
		s.NoteOthers(others, owned, now)
		return s
	}
	s := owner(4, other)
	_, ok := s.HandOver(began.Add(7 * time.Second))
	require.False(t, ok, "a source that has just changed hands stays")
	heir, ok := s.HandOver(now)
	require.True(t, ok)
	require.Equal(t, other.ID, heir)
	require.Equal(t, 3, s.member.Owned(), "it counts as given from now on")
	require.Equal(t, heir, s.NextOwner(now))
	_, ok = s.HandOver(now)
	require.False(t, ok, "once is enough")

	_, ok = owner(3, other).HandOver(now)
	require.False(t, ok, "one more is even enough")
	_, ok = owner(4).HandOver(now)
	require.False(t, ok, "there is nobody")
	silent := other
	silent.Age = 9 * time.Second
	_, ok = owner(4, silent).HandOver(now)
	require.False(t, ok, "it may be dead: who would claim?")
}

func TestAHandOverIsCountedUntilTheHeirTellsOfItself(t *testing.T) {
	began := time.Now()
	now := began.Add(time.Minute)
	other := store.Member{ID: uuid.New(), Owned: 0}
	proc := NewMember()
	var sources []*Assignment
	for range 3 {
		s := New(proc, "s", 8*time.Second)
		s.Began(began)
		s.NoteOthers([]store.Member{other}, 3, now)
		sources = append(sources, s)
	}
	_, ok := sources[0].HandOver(now)
	require.True(t, ok)
	sources[0].Ended(now)
	sources[0].Wait(store.LeaseState{}, now) // now it is claimed
	_, ok = sources[1].HandOver(now)
	require.False(t, ok, "two and one is even, though the heir still tells of none")
}

func TestWhoeverHandedOverStandsBackUntilTheHeirHasClaimed(t *testing.T) {
	began := time.Now()
	now := began.Add(time.Minute)
	other := store.Member{ID: uuid.New(), Owned: 0}
	s := waiter(5, began, other)
	s.Began(began)
	s.NoteOthers([]store.Member{other}, 6, now)
	_, ok := s.HandOver(now)
	require.True(t, ok)
	require.Equal(t, 1, s.member.leaving)
	s.Ended(now)
	require.Equal(t, 5, s.member.Owned())

	free := store.LeaseState{Free: true, Heir: other.ID}
	require.Positive(t, s.Wait(free, now))
	require.Positive(t, s.Wait(free, now.Add(3999*time.Millisecond)))
	require.Zero(t, s.Wait(free, now.Add(4*time.Second)), "the heir does not come")
	require.Positive(t, s.Wait(store.LeaseState{}, now.Add(5*time.Second)), "it has come")
	require.Zero(t, s.member.leaving)
}

func TestATurnThatEndsWithoutAHandOverCountsDown(t *testing.T) {
	now := time.Now()
	s := waiter(2, now, store.Member{ID: uuid.New(), Owned: 0})
	s.Began(now)
	require.Equal(t, 3, s.member.Owned())
	s.Ended(now)
	require.Equal(t, 2, s.member.Owned())
	require.Zero(t, s.standBack)
	require.Zero(t, s.member.leaving)
}
