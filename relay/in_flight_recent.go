package relay

// recent keeps the latest deliveries, the deleted ones too, for one question: was a
// record that failed overtaken by a later one of its key? A sink promises that no
// record is published behind a failed one that it knows of, but may have published
// later ones before it knew.
type recent struct {
	slabs []*slab
	lost  int64 // a slab was dropped although a record up to this id was under way; 0: none
}

// slab is what one Deliver was given, in order.
type slab struct{ flights []flight }

// maxRecent bounds the slabs that are kept.
const maxRecent = 8

func (r *recent) add(flights []flight) {
	for len(r.slabs) > 0 && r.slabs[0].resolved() {
		r.slabs = r.slabs[1:]
	}
	if len(r.slabs) >= maxRecent {
		first := r.slabs[0].flights
		r.lost = max(r.lost, first[len(first)-1].id)
		r.slabs = r.slabs[1:]
	}
	r.slabs = append(r.slabs, &slab{flights})
}

// resolved reports whether all of the slab is delivered: nothing of it can turn out
// to have been overtaken.
func (s *slab) resolved() bool {
	for i := range s.flights {
		if fl := &s.flights[i]; !fl.acked || fl.failed {
			return false
		}
	}
	return true
}

// overtaken looks for a delivered record of the key behind a failed one. Where what
// followed is not known any more the answer is yes: a retry then asks for --force.
func (r *recent) overtaken(failed *flight) bool {
	if failed.hash == 0 {
		return false
	}
	if failed.id > 0 && failed.id <= r.lost {
		return true
	}
	behind := false
	for _, s := range r.slabs {
		for i := range s.flights {
			fl := &s.flights[i]
			if fl == failed {
				behind = true
			} else if behind && fl.hash == failed.hash && fl.acked && !fl.failed {
				return true
			}
		}
	}
	return false
}
