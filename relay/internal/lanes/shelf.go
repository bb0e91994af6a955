package lanes

import (
	"cmp"
	"slices"
	"sync/atomic"

	store "github.com/postroom/postroom/internal/store/relay"
)

// Shelf has rows that were read and must wait: for a trial, for room in their lane, or for a topic that does
// not exist yet. The rows stay in the table, and the shelf does not keep their payloads. A row is read again
// when it may be sent.
//
// Two rules keep the order of a key: while a row of a lane is on the shelf, later rows of the lane go there
// too, and the rows of a lane leave the shelf in the order of their ids.
type Shelf struct {
	rows []Row        // ascending
	len  atomic.Int64 // of rows
}

// Row is a row on the shelf.
type Row struct {
	ID   int64
	Lane *Lane
}

// MaxShelved bounds the shelf, which needs 16 bytes a row. If the shelf is full, nothing more is read until
// rows have left it.
const MaxShelved = 500_000

// Len is how many rows wait. It is safe for concurrent use.
func (s *Shelf) Len() int { return int(s.len.Load()) }

// Rows returns the rows on the shelf, ascending. The slice belongs to the shelf.
func (s *Shelf) Rows() []Row { return s.rows }

// Has reports whether the row is on the shelf.
func (s *Shelf) Has(id int64) bool {
	_, found := slices.BinarySearchFunc(s.rows, id, func(row Row, id int64) int { return cmp.Compare(row.ID, id) })
	return found
}

// Add adds rows in any order, because a late commit has a lower id than rows before it.
func (s *Shelf) Add(rows []Row) {
	ascending := true
	for _, row := range rows {
		ascending = ascending && (len(s.rows) == 0 || s.rows[len(s.rows)-1].ID < row.ID)
		s.rows = append(s.rows, row)
		row.Lane.Shelved++
		row.Lane.Topic.Shelved++
	}
	if !ascending {
		slices.SortFunc(s.rows, func(a, b Row) int { return cmp.Compare(a.ID, b.ID) })
	}
	s.len.Store(int64(len(s.rows)))
}

// Take removes the first rows whose lanes are wanted, at most limit. A read of them names at most maxRanges
// ranges.
func (s *Shelf) Take(limit, maxRanges int, wanted func(*Lane) bool) []Row {
	var taken []Row
	ranges := 0
	kept := s.rows[:0]
	for i, row := range s.rows {
		next := len(taken) == 0 || taken[len(taken)-1].ID+1 != row.ID
		if len(taken) == limit || ranges == maxRanges && next {
			kept = append(kept, s.rows[i:]...)
			break
		}
		if !wanted(row.Lane) {
			kept = append(kept, row)
			continue
		}
		if next {
			ranges++
		}
		taken = append(taken, row)
		row.Lane.Shelved--
		row.Lane.Topic.Shelved--
	}
	clear(s.rows[len(kept):])
	s.rows = kept
	s.len.Store(int64(len(s.rows)))
	return taken
}

// Clear forgets all rows.
func (s *Shelf) Clear() {
	for _, row := range s.rows {
		row.Lane.Shelved, row.Lane.Topic.Shelved = 0, 0
	}
	s.rows = nil
	s.len.Store(0)
}

// IDs returns the ids of all rows, ascending.
func (s *Shelf) IDs() []int64 {
	ids := make([]int64, len(s.rows))
	for i, row := range s.rows {
		ids[i] = row.ID
	}
	return ids
}

// Ranges returns rows as ranges of consecutive ids.
func Ranges(rows []Row) []store.Range {
	var ranges []store.Range
	for _, row := range rows {
		if n := len(ranges); n > 0 && ranges[n-1].Hi+1 == row.ID {
			ranges[n-1].Hi = row.ID
			continue
		}
		ranges = append(ranges, store.Range{Lo: row.ID, Hi: row.ID})
	}
	return ranges
}
