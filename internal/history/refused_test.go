package history

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestTheCheckerFindsEachFaultOfRefusedEventsAndNothingElse(t *testing.T) {
	type outcome struct {
		refused, parked []Event
		history
	}
	for name, test := range map[string]struct {
		damage func(o *outcome)
		want   map[Property]int
	}{
		"nothing": {func(*outcome) {}, map[Property]int{}},
		"parked in another order": {func(o *outcome) {
			slices.Reverse(o.parked)
		}, map[Property]int{}},
		"one that is gone": {func(o *outcome) {
			o.parked = slices.Delete(o.parked, 2, 3)
		}, map[Property]int{Lost: 1}},
		"one that arrived, and is not parked": {func(o *outcome) {
			o.insert(3, Arrival{Event: o.parked[2]})
			o.parked = slices.Delete(o.parked, 2, 3)
		}, map[Property]int{Lost: 1, RefusedSent: 1}},
		"one that arrived twice, and is parked": {func(o *outcome) {
			o.insert(3, Arrival{Event: o.parked[2]})
			o.insert(7, Arrival{Event: o.parked[2]})
		}, map[Property]int{RefusedSent: 2}},
		"one that arrived in the topic of others": {func(o *outcome) {
			a := Arrival{Event: o.parked[2]}
			a.Topic = o.committed[0].Topic
			o.insert(3, a)
		}, map[Property]int{RefusedSent: 1}},
		"one that is parked twice": {func(o *outcome) {
			o.parked = append(o.parked, o.parked[2])
		}, map[Property]int{ParkedWrongly: 1}},
		"one that is parked under another key": {func(o *outcome) {
			o.parked[2].Key = "b"
		}, map[Property]int{ParkedWrongly: 1}},
		"one whose payload was cut short": {func(o *outcome) {
			o.parked[2].Sum++
		}, map[Property]int{ParkedWrongly: 1}},
		"an innocent one that is parked, and does not arrive": {func(o *outcome) {
			i := o.index("b", 3)
			o.parked = append(o.parked, o.arrived[i].Event)
			o.arrived = slices.Delete(o.arrived, i, i+1)
			o.number()
		}, map[Property]int{Lost: 1, ParkedWrongly: 1}},
		"an innocent one that is parked, and arrives": {func(o *outcome) {
			o.parked = append(o.parked, o.committed[4])
		}, map[Property]int{ParkedWrongly: 1}},
		"an innocent one that does not arrive": {func(o *outcome) {
			o.arrived = slices.Delete(o.arrived, 4, 5)
			o.number()
		}, map[Property]int{Lost: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			o := outcome{history: correctHistory()}
			for i := range 6 {
				e := Event{ID: uuid.New(), Topic: "refused", Sum: uint32(i)}
				if i%2 == 0 {
					e.Key, e.Version = string(rune('a'+i)), 1
				}
				o.refused = append(o.refused, e)
			}
			o.parked = slices.Clone(o.refused)
			test.damage(&o)
			found, others := CheckRefused(o.refused, o.parked, o.arrived)
			found.Merge(Check(o.committed, others))
			require.Equal(t, test.want, counts(found))
		})
	}
}

func TestMergedFindingsKeepTheFirstOffenders(t *testing.T) {
	a, b := Findings{}, Findings{}
	for i := range shown {
		a.add(Lost, Arrival{Offset: int64(i)}, "")
		b.add(Lost, Arrival{Offset: int64(shown + i)}, "")
	}
	b.add(Altered, Arrival{}, "")
	a.Merge(b)
	require.Equal(t, 2*shown, a.Count(Lost))
	require.Len(t, a[Lost].Offenders, shown)
	require.Equal(t, int64(0), a[Lost].Offenders[0].Offset)
	require.Equal(t, 1, a.Count(Altered))
}
