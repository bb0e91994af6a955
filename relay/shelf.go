package relay

import (
	"cmp"
	"slices"

	store "github.com/postroom/postroom/internal/store/relay"
)

// shelf names rows that were read and must wait: for a trial, for room in their lane, for
// a topic that does not exist yet. They stay in the table, and their payloads are not
// kept: a row is read again when its turn comes.
//
// What keeps the order of a key: while a row of a lane is on the shelf, later rows of the
// lane go there too, and a lane's rows leave it in the order of their ids.
type shelf struct {
	rows []shelved // ascending
}

type shelved struct {
	id   int64
	lane *lane
}

// maxShelved bounds the shelf: 16 bytes a row. At the bound nothing more is read until
// rows have left it.
const maxShelved = 500_000

func (s *shelf) has(id int64) bool {
	_, found := slices.BinarySearchFunc(s.rows, id, func(row shelved, id int64) int { return cmp.Compare(row.id, id) })
	return found
}

// add takes in records, in any order: a late commit has an id below others. What the
// records hold is let go.
func (s *shelf) add(records []*Record) {
	rows := make([]shelved, len(records))
	for i, r := range records {
		rows[i] = shelved{r.ID, r.lane}
		r.letGo()
	}
	s.restore(rows)
}

// restore takes in what was taken.
func (s *shelf) restore(rows []shelved) {
	ascending := true
	for _, row := range rows {
		ascending = ascending && (len(s.rows) == 0 || s.rows[len(s.rows)-1].id < row.id)
		s.rows = append(s.rows, row)
		row.lane.shelved++
		row.lane.topic.shelved++
	}
	if !ascending {
		slices.SortFunc(s.rows, func(a, b shelved) int { return cmp.Compare(a.id, b.id) })
	}
}

// take removes the first rows, at most so many, whose lanes are wanted. A read of them
// names no more than maxRanges ranges.
func (s *shelf) take(limit, maxRanges int, wanted func(*lane) bool) []shelved {
	var taken []shelved
	ranges := 0
	kept := s.rows[:0]
	for i, row := range s.rows {
		next := len(taken) == 0 || taken[len(taken)-1].id+1 != row.id
		if len(taken) == limit || ranges == maxRanges && next {
			kept = append(kept, s.rows[i:]...)
			break
		}
		if !wanted(row.lane) {
			kept = append(kept, row)
			continue
		}
		if next {
			ranges++
		}
		taken = append(taken, row)
		row.lane.shelved--
		row.lane.topic.shelved--
	}
	clear(s.rows[len(kept):])
	s.rows = kept
	return taken
}

func (s *shelf) clear() {
	for _, row := range s.rows {
		row.lane.shelved, row.lane.topic.shelved = 0, 0
	}
	s.rows = nil
}

// runs returns rows as ranges of consecutive ids.
func runs(rows []shelved) []store.Range {
	var ranges []store.Range
	for _, row := range rows {
		if n := len(ranges); n > 0 && ranges[n-1].Hi+1 == row.id {
			ranges[n-1].Hi = row.id
			continue
		}
		ranges = append(ranges, store.Range{Lo: row.id, Hi: row.id})
	}
	return ranges
}

// ids copies those of all rows.
func (s *shelf) ids() []int64 {
	ids := make([]int64, len(s.rows))
	for i, row := range s.rows {
		ids[i] = row.id
	}
	return ids
}
