package history

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// history is a topic with one partition, and what was committed for it.
type history struct {
	committed []Event
	arrived   []Arrival
}

// correctHistory is five versions of each of three keys, mixed.
func correctHistory() (h history) {
	for version := int64(1); version <= 5; version++ {
		for _, key := range []string{"a", "b", "c"} {
			e := Event{ID: uuid.New(), Topic: "orders", Key: key, Version: version, Sum: uint32(version)}
			h.committed = append(h.committed, e)
			h.arrived = append(h.arrived, Arrival{Event: e})
		}
	}
	h.number()
	return h
}

// number gives offsets in the order of arrival.
func (h *history) number() {
	next := map[int32]int64{}
	for i := range h.arrived {
		a := &h.arrived[i]
		a.Offset = next[a.Partition]
		next[a.Partition]++
	}
}

func (h *history) insert(at int, a Arrival) {
	h.arrived = slices.Insert(h.arrived, at, a)
	h.number()
}

func (h *history) index(key string, version int64) int {
	return slices.IndexFunc(h.arrived, func(a Arrival) bool { return a.Key == key && a.Version == version })
}

func counts(f Findings) map[Property]int {
	found := map[Property]int{}
	for p, finding := range f {
		found[p] = finding.Count
	}
	return found
}

func TestTheCheckerFindsEachFaultAndNothingElse(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(h *history)
		want   map[Property]int
	}{
		"nothing": {func(*history) {}, map[Property]int{}},
		"one loss": {func(h *history) {
			i := h.index("b", 3)
			h.arrived = slices.Delete(h.arrived, i, i+1)
			h.number()
		}, map[Property]int{Lost: 1}},
		"one duplicate at once": {func(h *history) {
			i := h.index("b", 3)
			h.insert(i+1, h.arrived[i])
		}, map[Property]int{Duplicates: 1}},
		"one duplicate that comes back late": {func(h *history) {
			h.insert(len(h.arrived), h.arrived[h.index("b", 3)])
		}, map[Property]int{Duplicates: 1, OutOfOrder: 1}},
		"one swap": {func(h *history) {
			i, j := h.index("b", 3), h.index("b", 4)
			h.arrived[i], h.arrived[j] = h.arrived[j], h.arrived[i]
			h.number()
		}, map[Property]int{FirstOutOfOrder: 1, OutOfOrder: 1}},
		"one swap between keys": {func(h *history) {
			i, j := h.index("b", 3), h.index("c", 3)
			h.arrived[i], h.arrived[j] = h.arrived[j], h.arrived[i]
			h.number()
		}, map[Property]int{}},
		"one uncommitted event": {func(h *history) {
			a := h.arrived[h.index("b", 3)]
			a.ID = uuid.New()
			h.insert(2, a)
		}, map[Property]int{Uncommitted: 1}},
		// Rolled back, and its version committed by another transaction: the same key and version under another ID.
		"one event of a transaction that rolled back, beside that of its version": {func(h *history) {
			a := h.arrived[h.index("b", 3)]
			a.ID = uuid.New()
			h.insert(h.index("b", 3), a)
		}, map[Property]int{Uncommitted: 1}},
		"two events of one version": {func(h *history) {
			a := h.arrived[h.index("b", 3)]
			a.ID = uuid.New()
			h.committed = append(h.committed, a.Event)
			h.insert(h.index("b", 3), a)
		}, map[Property]int{FirstOutOfOrder: 1, OutOfOrder: 1}},
		"everything lost": {func(h *history) { h.arrived = nil }, map[Property]int{Lost: 15}},
		"one that came last": {func(h *history) {
			h.arrived = append(h.arrived[1:], h.arrived[0])
			h.number()
		}, map[Property]int{FirstOutOfOrder: 1, OutOfOrder: 1}},
		"one event sent under another key": {func(h *history) {
			h.arrived[h.index("b", 3)].Key = "c"
		}, map[Property]int{Altered: 1}},
		"one payload cut short": {func(h *history) {
			h.arrived[h.index("b", 3)].Sum++
		}, map[Property]int{Altered: 1}},
		"one event in another partition": {func(h *history) {
			h.arrived[h.index("b", 5)].Partition = 1
			h.number()
		}, map[Property]int{Scattered: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			h := correctHistory()
			test.damage(&h)
			require.Equal(t, test.want, counts(Check(h.committed, h.arrived)))
		})
	}
}

func TestAnOffenderIsNamedWithItsPlace(t *testing.T) {
	h := correctHistory()
	i := h.index("b", 3)
	late := h.arrived[i]
	h.insert(len(h.arrived), late)
	found := Check(h.committed, h.arrived)[Duplicates].Offenders
	require.Len(t, found, 1)
	require.Equal(t, late.ID, found[0].ID)
	require.Equal(
		t,
		fmt.Sprintf(
			"event %s, topic orders, key \"b\", version 3: partition 0, offset 15; copy number 2, the first is at "+
				"offset %d",
			late.ID, i,
		),
		found[0].String(),
	)
}

func TestWhatEachModePromises(t *testing.T) {
	all := Findings{}
	for _, p := range Properties() {
		all.add(p, Arrival{}, "")
	}
	require.Equal(t, Properties(), all.Broken(ExactlyOnce))
	require.Equal(
		t, []Property{Lost, Uncommitted, FirstOutOfOrder, Altered, Scattered, RefusedSent, ParkedWrongly},
		all.Broken(AtLeastOnce),
	)
	require.Empty(t, Findings{}.Broken(ExactlyOnce))
}

// randomHistory is a correct one: each key lies in one partition, its versions in order.
func randomHistory(t *rapid.T) (h history) {
	partitions := rapid.Int32Range(1, 3).Draw(t, "partitions")
	var events [][]Event
	for k := range rapid.IntRange(1, 4).Draw(t, "keys") {
		key := Key{Topic: "orders", Name: fmt.Sprint("k", k)}
		events = append(events, nil)
		for version := range rapid.Int64Range(1, 8).Draw(t, "versions") {
			e := Event{
				ID: h.id(), Topic: key.Topic, Key: key.Name, Version: version + 1,
				Sum: rapid.Uint32().Draw(t, "sum"),
			}
			events[k] = append(events[k], e)
			h.committed = append(h.committed, e)
		}
	}
	for open := slices.Clone(events); ; {
		var choices []int
		for k := range open {
			if len(open[k]) > 0 {
				choices = append(choices, k)
			}
		}
		if len(choices) == 0 {
			break
		}
		k := rapid.SampledFrom(choices).Draw(t, "next")
		h.arrived = append(h.arrived, Arrival{Event: open[k][0], Partition: int32(k) % partitions})
		open[k] = open[k][1:]
	}
	for range rapid.IntRange(0, 3).Draw(t, "without a key") {
		e := Event{ID: h.id(), Topic: "orders"}
		h.committed = append(h.committed, e)
		at := rapid.IntRange(0, len(h.arrived)).Draw(t, "at")
		h.arrived = slices.Insert(h.arrived, at, Arrival{Event: e})
	}
	h.committed = rapid.Permutation(h.committed).Draw(t, "committed")
	h.number()
	return h
}

// id is one that no other event of the history has.
func (h *history) id() (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:], uint64(len(h.committed)+1))
	return id
}

// restarted is what relays that die and take over from one another make of a correct
// history: now and then a run that was sent is sent again, whole and in order.
func restarted(t *rapid.T, h history) history {
	var arrived []Arrival
	for i := 0; i < len(h.arrived); {
		end := rapid.IntRange(i+1, len(h.arrived)).Draw(t, "until")
		arrived = append(arrived, h.arrived[i:end]...)
		i = end
		if rapid.Bool().Draw(t, "crash") {
			from := rapid.IntRange(0, end).Draw(t, "from")
			arrived = append(arrived, h.arrived[from:end]...)
		}
	}
	h.arrived = arrived
	h.number()
	return h
}

func TestCorrectHistoriesPass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := randomHistory(t)
		require.Empty(t, Check(h.committed, h.arrived))
		again := restarted(t, h)
		found := Check(again.committed, again.arrived)
		require.Empty(t, found.Broken(AtLeastOnce))
		require.Equal(t, len(again.arrived)-len(h.arrived), found.Count(Duplicates))
	})
}

func TestASingleMutationIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := randomHistory(t)
		i := rapid.IntRange(0, len(h.arrived)-1).Draw(t, "i")
		victim := h.arrived[i]
		want := map[Property]int{}
		switch rapid.SampledFrom([]string{"lose", "repeat", "swap", "invent", "alter"}).Draw(t, "mutation") {
		case "lose":
			h.arrived = slices.Delete(h.arrived, i, i+1)
			want[Lost] = 1
		case "repeat":
			at := rapid.IntRange(i+1, len(h.arrived)).Draw(t, "at")
			for _, a := range h.arrived[i+1 : at] {
				if victim.Key != "" && a.Key == victim.Key {
					want[OutOfOrder] = 1
				}
			}
			h.arrived = slices.Insert(h.arrived, at, victim)
			want[Duplicates] = 1
		case "swap":
			j := rapid.IntRange(0, len(h.arrived)-1).Draw(t, "j")
			if victim.Key == "" || h.arrived[j].Key != victim.Key || i == j {
				t.Skip("no order between them")
			}
			h.arrived[i], h.arrived[j] = h.arrived[j], h.arrived[i]
			between := 0
			for _, a := range h.arrived[min(i, j)+1 : max(i, j)] {
				if a.Key == victim.Key {
					between++
				}
			}
			want[FirstOutOfOrder], want[OutOfOrder] = between+1, between+1
		case "invent":
			a := victim
			a.ID = uuid.New()
			h.arrived = slices.Insert(h.arrived, i, a)
			want[Uncommitted] = 1
		case "alter":
			h.arrived[i].Sum++
			want[Altered] = 1
		}
		h.number()
		require.Equal(t, want, counts(Check(h.committed, h.arrived)))
	})
}
