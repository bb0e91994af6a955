package inboxkafka

// position is where a partition is read on: what is committed to the group.
type position struct {
	offset int64
	epoch  int32 // the leader's, of the last record below offset
}

// lowWatermark knows how far a partition has come when its messages end in any order: all
// below next are finished. It is not safe for use by several goroutines.
type lowWatermark struct {
	next  position
	moved bool
	first uint64 // the ticket of open[0]
	open  []entry
}

type entry struct {
	after position // to read on from when this and all before it are finished
	done  bool
}

// begin notes a record that is about to be handled, in the order of offsets, and
// returns its ticket.
func (l *lowWatermark) begin(offset int64, epoch int32) uint64 {
	l.open = append(l.open, entry{after: position{offset + 1, epoch}})
	return l.first + uint64(len(l.open)) - 1
}

// finish notes that the record of a ticket is finished.
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
