package history

import "github.com/google/uuid"

// CheckRefused judges events that were committed for a topic which takes none of them, by
// what is parked and what arrived. It returns the arrivals that are not of these events.
//
//   - lost: rejected, and not parked.
//   - refused events sent: it arrived in a topic. Counted once for each copy.
//   - parked wrongly: the broker had no reason to reject it, it is parked a second time, or
//     topic, key, version or payload are not what was committed.
func CheckRefused(refused, parked []Event, arrived []Arrival) (found Findings, others []Arrival) {
	found = Findings{}
	known := make(map[uuid.UUID]Event, len(refused))
	for _, e := range refused {
		known[e.ID] = e
	}
	at := make(map[uuid.UUID]int, len(parked))
	for i, p := range parked {
		nowhere := Arrival{Event: p, Partition: -1, Offset: -1}
		first, again := at[p.ID]
		switch e, ok := known[p.ID]; {
		case !ok:
			found.add(ParkedWrongly, nowhere, "parked, though the broker had no reason to reject it: relay parked list")
		case again:
			found.add(ParkedWrongly, nowhere, "parked as number %d, and as number %d before", i+1, first+1)
		case p != e:
			found.add(
				ParkedWrongly, nowhere,
				"committed were topic %s, key %q, version %d, payload checksum %08x and not %08x", e.Topic, e.Key,
				e.Version, e.Sum, p.Sum,
			)
		}
		if !again {
			at[p.ID] = i
		}
	}
	for _, e := range refused {
		if _, ok := at[e.ID]; !ok {
			found.add(
				Lost, Arrival{Event: e, Partition: -1, Offset: -1},
				"was committed, is rejected by its topic, and is not parked",
			)
		}
	}
	for _, a := range arrived {
		if _, ok := known[a.ID]; ok {
			found.add(RefusedSent, a, "its topic takes no such event: it was to be parked")
			continue
		}
		others = append(others, a)
	}
	return found, others
}
