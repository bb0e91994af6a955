package inboxkafka

// position is the next offset of a partition to read, as it is committed to the group.
type position struct {
	offset int64
	epoch  int32 // the leader epoch of the last record below offset
}

// lowWatermark finds the position of a partition whose messages finish in any order: all messages below next are
// finished. It is not safe for concurrent use.
type lowWatermark struct {
	next  position
	moved bool
	first uint64 // the ticket of open[0]
	open  []entry
}

type entry struct {
	after position // the position when this message and all before it are finished
	done  bool
}

// begin adds a record that will be handled, and returns its ticket. Records must be added in the order of offsets.
func (l *lowWatermark) begin(offset int64, epoch int32) uint64 {
	l.open = append(l.open, entry{after: position{offset + 1, epoch}})
	return l.first + uint64(len(l.open)) - 1
}

// finish marks the record of a ticket as finished.
func (l *lowWatermark) finish(ticket uint64) {
	l.open[ticket-l.first].done = true
	n := 0
	for n < len(l.open) && l.open[n].done {
		l.next, l.moved = l.open[n].after, true
		n++
	}
	l.open, l.first = l.open[n:], l.first+uint64(n)
}

// isDone reports whether the record of a ticket is finished.
func (l *lowWatermark) isDone(ticket uint64) bool {
	return ticket < l.first || l.open[ticket-l.first].done
}
