package relay

import (
	"cmp"
	"context"
	"slices"

	store "github.com/postroom/postroom/internal/store/relay"
)

// repairSnapshot is for databases on which a statement is not one snapshot: they may return a row without an
// earlier, committed row of its key. Everything that was committed before a row which the first statement
// returned is visible to a second statement that begins after the first has ended. So repairSnapshot reads
// the gaps below the highest row again. From this second read it takes only those rows that precede, in topic
// and key, a row of the first read. The other rows stay gaps, because the second read may lack a predecessor
// of them in turn (hazard inconsistent-snapshot).
func (c *cursor) repairSnapshot(ctx context.Context, b *batch, limit int, bytes int64) error {
	latest := make(map[string]int64)
	for _, r := range b.records {
		if r.Key != nil {
			latest[orderKey(r.Topic, r.Key)] = r.ID
		}
	}
	if len(latest) == 0 {
		return nil
	}
	below := slices.DeleteFunc(c.gaps.After(c.head, max(c.head, b.last), b.ids),
		func(r store.Range) bool { return r.Lo > b.last })
	if len(below) == 0 {
		return nil
	}
	held, _, _ := c.inFlight.Counts()
	q := store.ReadQuery{Gaps: below, Head: max(c.head, b.last), Limit: limit + held + c.shelf.Len(),
		GapsOnly: true}
	second, err := c.collect(ctx, q, limit, max(bytes, 1), func(row *store.Row) bool {
		return row.Key != nil && row.ID < latest[orderKey(row.Topic, row.Key)] && !b.has(row.ID)
	})
	if err != nil {
		return err
	}
	if second.cut {
		b.cutAfter(second.last)
	}
	b.merge(second)
	return nil
}

func (b *batch) has(id int64) bool {
	_, found := slices.BinarySearch(b.ids, id)
	return found
}

// cutAfter drops the rows above an id, which will be read again.
func (b *batch) cutAfter(id int64) {
	b.ids = slices.DeleteFunc(b.ids, func(have int64) bool { return have > id })
	b.records = slices.DeleteFunc(b.records, func(r *Record) bool {
		if r.ID > id {
			b.size -= recordSize(r)
		}
		return r.ID > id
	})
	b.last, b.cut = min(b.last, id), true
}

// merge adds the rows of another read.
func (b *batch) merge(other batch) {
	b.ids = append(b.ids, other.ids...)
	slices.Sort(b.ids)
	b.records = append(b.records, other.records...)
	b.size += other.size
	slices.SortFunc(b.records, func(a, c *Record) int { return cmp.Compare(a.ID, c.ID) })
}
