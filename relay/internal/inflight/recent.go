package inflight

// recent keeps the latest deliveries, also the deleted ones. It answers one question: was a record that
// failed overtaken by a later one of its key? A sink promises to publish no record behind a failed one that
// it knows of. But it may have published later ones before it knew.
type recent struct {
	slabs [][]Entry // the records of each Deliver, in order
	lost  int64     // a slab was dropped while a record up to this id was not acknowledged; 0: none
}

// maxRecent bounds the number of slabs that are kept.
const maxRecent = 8

func (r *recent) add(entries []Entry) {
	for len(r.slabs) > 0 && resolved(r.slabs[0]) {
		r.slabs = r.slabs[1:]
	}
	if len(r.slabs) >= maxRecent {
		first := r.slabs[0]
		r.lost = max(r.lost, first[len(first)-1].key())
		r.slabs = r.slabs[1:]
	}
	r.slabs = append(r.slabs, entries)
}

// resolved reports whether all records of a slab are delivered. Then none of them can turn out to be
// overtaken.
func resolved(slab []Entry) bool {
	for i := range slab {
		if e := &slab[i]; !e.acked || e.failed {
			return false
		}
	}
	return true
}

// overtaken looks for a delivered record of the key behind a failed one. It returns true if the later records
// are not known any more: a retry then needs --force.
func (r *recent) overtaken(failed *Entry) bool {
	if failed.Hash == 0 {
		return false
	}
	if failed.Seq == 0 && failed.ID <= r.lost {
		return true
	}
	behind := false
	for _, slab := range r.slabs {
		for i := range slab {
			e := &slab[i]
			if e == failed {
				behind = true
			} else if behind && e.Hash == failed.Hash && e.acked && !e.failed {
				return true
			}
		}
	}
	return false
}
