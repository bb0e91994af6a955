package relay

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/gaps"
)

// checkpoint says which ids no read has to ask for: those up to UpTo that are in none of the
// ranges in Open. Their rows are deleted or parked, and no open transaction can add one. It
// is what a session starts with, so that it does not walk again over rows that are deleted
// and that an old snapshot keeps.
//
// It is no stored head (hazard stored-cursor): what is in flight, on the shelf, or delivered
// and not deleted is in Open or above UpTo, and so is every id whose transaction may be open.
// So it stays true whatever happens later, a crash included, for as long as ids do not come
// back. For that it counts on the server where it was seen alone, until that is restarted
// (where the database tells); UpTo is the id of a row that was seen, and no crash gives that
// out again; and the sweep that a start begins with looks at everything from 0: what it finds
// ends the term, and the next one starts from 0.
type checkpoint struct {
	Server string     `json:"server"`
	UpTo   int64      `json:"up_to"`
	Open   [][2]int64 `json:"open,omitempty"` // first and last id
}

// checkpointRanges is how many ranges are kept. Beyond it neighbours become one.
const checkpointRanges = 128

// checkpointEvery is how often a session that has much in flight looks what is proved; one
// that has little does so after each read.
const checkpointEvery = time.Second

// checkpointRest is how many times as long as it took such a look rests at least.
const checkpointRest = 20

// parseCheckpoint returns what the lease row keeps, or nil: it is a hint.
func parseCheckpoint(text []byte, l store.Lease) *checkpoint {
	var p checkpoint
	if json.Unmarshal(text, &p) != nil || p.Server != l.Server || p.UpTo <= 0 {
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

// saveCheckpoint writes what is proved into the lease row, if there is news. It fails silently:
// a start then walks over more.
func (k *keeper) saveCheckpoint(ctx context.Context) {
	k.saving.Lock()
	defer k.saving.Unlock()
	p := k.checkpoint.Load()
	if p == k.savedCheckpoint {
		return
	}
	text := []byte("null")
	if p != nil {
		text, _ = json.Marshal(p) // numbers and a string
	}
	ctx, cancel := context.WithTimeout(ctx, k.ttl/10)
	defer cancel()
	if k.store.SetCheckpoint(ctx, k.lease, text) == nil {
		k.savedCheckpoint = p
	}
}

// checkpointIsWrong reports whether the lease row still says what is not true, or of another
// server (hazard proved-ids-come-back).
func (k *keeper) checkpointIsWrong() bool {
	k.saving.Lock()
	defer k.saving.Unlock()
	return k.savedCheckpoint != nil && k.savedCheckpoint.UpTo == 0
}

// updateCheckpoint takes in what is proved, between two reads: every row up to the head is then in
// flight, on the shelf, in a gap, or gone.
func (c *cursor) updateCheckpoint(now time.Time) {
	held, _, _ := c.inFlight.counts()
	before := c.keeper.checkpoint.Load()
	if held+len(c.shelf.rows)+c.gaps.Len() == 0 && before != nil && before.UpTo == c.head && len(before.Open) == 0 {
		return
	}
	if c.head == 0 || held+len(c.shelf.rows) > 64 && now.Before(c.checkpointDue) {
		return
	}
	defer func() { c.checkpointDue = now.Add(max(checkpointEvery, checkpointRest*time.Since(now))) }()
	p := &checkpoint{Server: c.lease.Server, UpTo: c.head}
	for _, r := range c.uncertainIDs() {
		p.Open = append(p.Open, [2]int64{r.Lo, r.Hi})
	}
	if before == nil || before.UpTo != p.UpTo || !slices.Equal(before.Open, p.Open) {
		c.keeper.checkpoint.Store(p)
	}
}

// uncertainIDs lists what a start has to ask for below the head.
func (c *cursor) uncertainIDs() []store.Range {
	open := c.gaps.Ranges()
	one := func(id int64) {
		if last := len(open) - 1; last >= 0 && open[last].Hi == id-1 {
			open[last].Hi = id
		} else if id <= c.head { // a row that was adopted may be above
			open = append(open, store.Range{Lo: id, Hi: id})
		}
	}
	for _, e := range c.inFlight.list() {
		one(e.ID)
	}
	for _, row := range c.shelf.rows {
		one(row.id)
	}
	slices.SortFunc(open, func(a, b store.Range) int { return cmp.Compare(a.Lo, b.Lo) })
	return gaps.Merged(open, checkpointRanges)
}

// reloadCheckpoint asks the lease row after an error.
func (c *cursor) reloadCheckpoint(ctx context.Context) error {
	if !c.checkpointStale {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.relay.cfg.answerTimeout)
	defer cancel()
	if c.keeper.checkpointIsWrong() {
		c.checkpointStale = false
		return nil
	}
	text, err := c.relay.store.Checkpoint(ctx, c.lease)
	if err == nil {
		c.checkpointStale = false
		c.keeper.checkpoint.Store(parseCheckpoint(text, c.lease))
		c.resume()
	}
	return err
}
