package checkpoint

import (
	"testing"

	"github.com/stretchr/testify/require"

	store "github.com/postroom/postroom/internal/store/relay"
)

func TestWhatIsProvedCountsOnTheServerThatSawIt(t *testing.T) {
	for _, each := range []struct {
		name, text string
		upTo       int64
	}{
		{"as it was written", `{"server": "a", "up_to": 9, "open": [[2, 3], [7, 9]]}`, 9},
		{"another server", `{"server": "b", "up_to": 9}`, 0},
		{"nothing", ``, 0},
		{"null", `null`, 0},
		{"open ranges that overlap", `{"server": "a", "up_to": 9, "open": [[2, 3], [3, 9]]}`, 0},
		{"an open range above the end", `{"server": "a", "up_to": 9, "open": [[8, 10]]}`, 0},
		{"ids below 1", `{"server": "a", "up_to": -1}`, 0},
	} {
		t.Run(each.name, func(t *testing.T) {
			p := Parse([]byte(each.text), "a")
			require.Equal(t, each.upTo > 0, p != nil)
			if p != nil {
				require.Equal(t, each.upTo, p.UpTo)
				require.Equal(t, p, Parse(p.Text(), "a"), "it is read as it was written")
			}
		})
	}
}

func TestNothingSaysNothing(t *testing.T) {
	var p *Checkpoint
	require.Equal(t, "null", string(p.Text()))
}

// Ids that have a row, or may still get one, are open: a start asks for them.
func TestWhatIsInFlightOrInAGapIsOpen(t *testing.T) {
	p := New("a", 20, []store.Range{{Lo: 5, Hi: 6}, {Lo: 15, Hi: 15}}, []int64{2, 3, 9, 16, 25})
	require.Equal(t, [][2]int64{{2, 3}, {5, 6}, {9, 9}, {15, 16}}, p.Open, "25 is above the end")
	require.True(t, p.Equal(New("a", 20, []store.Range{{Lo: 2, Hi: 3}, {Lo: 5, Hi: 6}, {Lo: 9, Hi: 9}, {Lo: 15, Hi: 15},
		{Lo: 16, Hi: 16}}, nil)))
	require.False(t, p.Equal(nil))
	require.False(t, p.Equal(New("a", 20, nil, nil)))
	require.False(t, p.Equal(New("a", 21, []store.Range{{Lo: 5, Hi: 6}}, nil)))

	p = New("a", 20, []store.Range{{Lo: 5, Hi: 6}}, []int64{20, 21})
	require.Equal(t, [][2]int64{{5, 6}, {20, 20}}, p.Open, "no range goes beyond the end: a read would show 21 twice")
	require.NotNil(t, Parse(p.Text(), "a"))

	var odd []int64
	for id := int64(1); id < 1000; id += 2 {
		odd = append(odd, id)
	}
	p = New("a", 1000, nil, odd)
	require.LessOrEqual(t, len(p.Open), maxOpen)
	for _, id := range odd {
		open := false
		for _, r := range p.Open {
			open = open || r[0] <= id && id <= r[1]
		}
		require.True(t, open, id)
	}
}
