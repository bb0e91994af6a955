// Package checkpoint knows which ids no start has to read, and how the lease row stores them.
package checkpoint

import (
	"cmp"
	"encoding/json"
	"slices"

	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/gaps"
)

// Checkpoint says which ids no read has to ask for: those up to UpTo that are in none of the
// ranges of Open. Their rows are deleted or parked, and no open transaction can add a row with
// such an id. A session starts with the checkpoint. Without it, each start would step again over
// deleted rows that an old snapshot keeps.
//
// A checkpoint is not a stored head (hazard stored-cursor). Rows in flight, on the shelf, or
// delivered and not deleted are in Open or above UpTo. So is every id whose transaction may still
// be open. Therefore a checkpoint stays true whatever happens later, even after a crash, as long
// as ids do not come back. Three rules guard against ids that come back:
//
//   - A checkpoint counts only on the server that made it. Where the database reports a restart, it
//     counts only until then.
//   - UpTo is the id of a row that was seen, and no crash gives such an id out again.
//   - Each start also runs a sweep, which looks at all ids from 0. If it finds a row that the
//     checkpoint denies, the term ends, and the next term starts from 0.
type Checkpoint struct {
	Server string     `json:"server"`
	UpTo   int64      `json:"up_to"`
	Open   [][2]int64 `json:"open,omitempty"` // first and last id
}

// maxOpen is the most ranges that a checkpoint has. If there are more, neighbours are merged.
const maxOpen = 128

// New returns the checkpoint up to an id on a server, where these ranges and ids are open. It sorts
// the ranges, and may change them.
func New(server string, upTo int64, open []store.Range, ids []int64) *Checkpoint {
	for _, id := range ids {
		if id > upTo { // may be a row that an earlier session has delivered
			continue
		}
		if last := len(open) - 1; last >= 0 && open[last].Hi == id-1 {
			open[last].Hi = id
		} else {
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

// Parse reads a checkpoint from the lease row. It returns nil if there is none, if it is another server's, or
// if it is not valid. That is not an error, because a checkpoint is a hint.
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

// Text returns p for the lease row. A nil p becomes null.
func (p *Checkpoint) Text() []byte {
	text, _ := json.Marshal(p) // numbers and a string cannot fail
	return text
}

// Equal reports whether p and other have the same content. other may be nil.
func (p *Checkpoint) Equal(other *Checkpoint) bool {
	return other != nil && p.Server == other.Server && p.UpTo == other.UpTo && slices.Equal(p.Open, other.Open)
}
