// Package checkpoint has the form in which the lease row keeps what a start need not read.
package checkpoint

import (
	"cmp"
	"encoding/json"
	"slices"

	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/gaps"
)

// Checkpoint says which ids no read has to ask for: those up to UpTo that are in none of the
// ranges in Open. Their rows are deleted or parked, and no open transaction can add one. It
// is what a session starts with, so that it does not walk again over rows that are deleted
// and that an old snapshot keeps.
//
// It is no stored head (hazard stored-cursor): what is in flight, on the shelf, or delivered
// and not deleted is in Open or above UpTo, and so is every id whose transaction may be open.
// So it stays true whatever happens later, a crash included, for as long as ids do not come
// back. For that it counts only on the server where it was seen, until that is restarted (where
// the database tells); UpTo is the id of a row that was seen, and no crash gives that out again;
// and the sweep that a start begins with looks at everything from 0: what it finds ends the term,
// and the next one starts from 0.
type Checkpoint struct {
	Server string     `json:"server"`
	UpTo   int64      `json:"up_to"`
	Open   [][2]int64 `json:"open,omitempty"` // first and last id
}

// maxOpen is how many ranges are kept. Beyond it neighbours become one.
const maxOpen = 128

// New returns what was seen on a server: everything up to an id but these ranges and ids. It
// sorts the ranges, and may change them.
func New(server string, upTo int64, open []store.Range, ids []int64) *Checkpoint {
	for _, id := range ids {
		if last := len(open) - 1; last >= 0 && open[last].Hi == id-1 {
			open[last].Hi = id
		} else if id <= upTo { // a row that an earlier session has delivered may be above
			open = append(open, store.Range{Lo: id, Hi: id})
		}
	}
	slices.SortFunc(open, func(a, b store.Range) int { return cmp.Compare(a.Lo, b.Lo) })
	p := &Checkpoint{Server: server, UpTo: upTo}
	for _, r := range gaps.Merged(open, maxOpen) {
		p.Open = append(p.Open, [2]int64{r.Lo, r.Hi})
	}
	return p
}

// Parse returns what the lease row keeps, or nil if that says nothing about this server: it is a
// hint.
func Parse(text []byte, server string) *Checkpoint {
	var p Checkpoint
	if json.Unmarshal(text, &p) != nil || p.Server != server || p.UpTo <= 0 {
		return nil
	}
	end := int64(0)
	for _, open := range p.Open {
		if open[0] <= end || open[1] < open[0] || open[1] > p.UpTo {
			return nil
		}
		end = open[1]
	}
	return &p
}

// Text is what the lease row keeps of p. A nil p says nothing.
func (p *Checkpoint) Text() []byte {
	text, _ := json.Marshal(p) // numbers and a string
	return text
}

// Equal reports whether p says the same as other, which may be nil.
func (p *Checkpoint) Equal(other *Checkpoint) bool {
	return other != nil && p.Server == other.Server && p.UpTo == other.UpTo && slices.Equal(p.Open, other.Open)
}
