package inflight

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/google/uuid"

	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/pacing"
)

// Set has the entries of one session.
//
// An entry enters the set when its row is read. It leaves when the row's delete has committed and every read
// that began before the commit has returned. Such a read may still return the row, and the row would be sent
// a second time (hazard read-during-delete). There is one reader, so there is at most one such read.
//
// A Set is safe for concurrent use: the reader adds, the sink acknowledges, the deleter removes.
type Set struct {
	// HasDelivered signals that a record was delivered, so there is a row to delete.
	HasDelivered chan struct{}
	// HasFailed signals that a record failed, so the session has to end.
	HasFailed chan struct{}
	// Changed signals that an acknowledgement came, or that rows were deleted.
	Changed chan struct{}

	mu      sync.Mutex
	byKey   map[int64]*Entry
	waiting int   // not acknowledged yet
	bytes   int64 // bytes of those

	delivered []*Entry // acknowledged, but not taken by the deleter yet
	sorted    bool     // delivered ascends
	nextTake  int      // number of delivered entries from which on there may be another long run
	failed    []Failure

	locked            map[int64]*Entry // delivered rows that another transaction has locked, to be deleted later
	reading           bool
	deletedDuringRead []*Entry

	recent recent
	open   openTransactions

	total    int64 // delivered so far
	highest  int64 // the highest id that was ever in the set
	replayed int   // delivered from outbox_parked, and not deleted there yet
}

// Failure is a record that the sink could not deliver.
type Failure struct {
	Entry *Entry
	Err   error
}

// New returns an empty set.
func New() *Set {
	return &Set{
		byKey:        make(map[int64]*Entry),
		locked:       make(map[int64]*Entry),
		HasDelivered: make(chan struct{}, 1),
		HasFailed:    make(chan struct{}, 1),
		Changed:      make(chan struct{}, 1),
	}
}

// BeginRead and EndRead enclose a read: from before its statement until its rows have been looked up in the
// set.
func (s *Set) BeginRead() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = true
}

// EndRead ends what BeginRead began.
func (s *Set) EndRead() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = false
	for _, gone := range s.deletedDuringRead {
		delete(s.byKey, gone.key())
	}
	s.deletedDuringRead = nil
}

// Lookup reports whether a row is in flight, and whether it still holds the same event. If it holds another
// event, the id has come back after a failover or a restore.
func (s *Set) Lookup(id int64, eventID uuid.UUID) (held, same bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have, held := s.byKey[id]
	return held, held && have.EventID == eventID
}

// Add adds the entries of records that are about to be delivered, in their order.
func (s *Set) Add(entries []Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recent.add(entries)
	for i := range entries {
		e := &entries[i]
		s.byKey[e.key()] = e
		s.waiting++
		s.bytes += e.Size
		s.highest = max(s.highest, e.key())
		e.Lane.add(1, e.Size)
	}
}

// Ack notes that the sink has acknowledged a record. It returns false for a second acknowledgement of the
// record: a sink that breaks the rule of one acknowledgement must not break the counts.
func (s *Set) Ack(e *Entry, err error) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e == nil || e.acked {
		return false
	}
	e.acked, e.failed = true, err != nil
	s.waiting--
	s.bytes -= e.Size
	e.Lane.add(-1, -e.Size)
	switch {
	case err != nil:
		s.failed = append(s.failed, Failure{e, err})
		pacing.Signal(s.HasFailed)
	case e.Seq > 0: // the reader waits for it, and deletes the row from outbox_parked
		s.open.sent(e)
		s.replayed++
		s.total++
	default:
		s.open.sent(e)
		s.sorted = s.sorted && (len(s.delivered) == 0 || s.delivered[len(s.delivered)-1].ID < e.ID)
		s.delivered = append(s.delivered, e)
		s.total++
		pacing.Signal(s.HasDelivered)
	}
	pacing.Signal(s.Changed)
	return true
}

// Adopt adds rows that an earlier session has delivered and could not delete, as locked rows. It returns how
// many of them were new to the set.
func (s *Set) Adopt(rows []store.Delivered) (fresh int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range rows {
		if s.locked[row.ID] != nil {
			continue
		}
		fresh++
		e := &Entry{
			ID: row.ID, EventID: row.EventID, Size: row.Size, acked: true, Transaction: earlierTransaction,
			Placed: row.Placed, Partition: row.Partition, Offset: row.Offset,
		}
		s.byKey[e.ID], s.locked[e.ID] = e, e
		s.open.sent(e)
		s.highest = max(s.highest, e.ID)
	}
	return fresh
}

// Counts returns how many records are in flight, how many of them the sink has not
// acknowledged, and the bytes of those.
func (s *Set) Counts() (held, waiting int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byKey), s.waiting, s.bytes
}

// Highest returns the highest id that was ever in the set. Only Add and Adopt raise it.
func (s *Set) Highest() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.highest
}

// DeliveredTotal returns how many records were delivered so far.
func (s *Set) DeliveredTotal() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// Failures returns the records that the sink could not deliver, in the order of their
// acknowledgements.
func (s *Set) Failures() []Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// WaitingKeys returns the hashes of the keys that have unacknowledged records.
func (s *Set) WaitingKeys() map[uint64]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make(map[uint64]bool)
	for _, e := range s.byKey {
		if !e.acked && e.Hash != 0 {
			keys[e.Hash] = true
		}
	}
	return keys
}

// WaitingFor reports whether any of the entries is still unacknowledged.
func (s *Set) WaitingFor(entries []*Entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(entries, func(e *Entry) bool { return !e.acked })
}

// WaitingOf counts the records of a topic that the sink has not acknowledged.
func (s *Set) WaitingOf(t *Topic) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.waiting
}

// Load returns how many records of a lane the sink has not acknowledged, and their bytes.
func (s *Set) Load(l *Lane) (waiting int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return l.waiting, l.bytes
}

// Progress does what Load does. It also reports whether the sink has acknowledged any of these records since
// the last Progress.
func (s *Set) Progress(l *Lane) (waiting int, bytes int64, moved bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	moved, l.moved = l.moved, false
	return l.waiting, l.bytes, moved
}

// Overtaken reports whether a later record of the failed record's key was delivered, or may have been
// delivered.
func (s *Set) Overtaken(failed *Entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recent.overtaken(failed)
}

// Confirmed returns the number up to which the rows of every transaction are deleted. It is 0 for the
// transactions of earlier sessions, and -1 if rows of these are left.
func (s *Set) Confirmed() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open.confirmed(s.waiting == 0)
}

// DeliveredOf returns those of the entries that were delivered.
func (s *Set) DeliveredOf(entries []*Entry) []*Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var delivered []*Entry
	for _, e := range entries {
		if e.acked && !e.failed {
			delivered = append(delivered, e)
		}
	}
	return delivered
}

// Rows copies the set's rows of outbox_events, ascending.
func (s *Set) Rows() []store.Event {
	s.mu.Lock()
	rows := make([]store.Event, 0, len(s.byKey))
	for _, e := range s.byKey {
		if e.Seq == 0 {
			rows = append(rows, e.Event())
		}
	}
	s.mu.Unlock()
	slices.SortFunc(rows, func(a, b store.Event) int { return cmp.Compare(a.ID, b.ID) })
	return rows
}

// Leftover lists delivered rows whose delete is not known to have committed.
func (s *Set) Leftover() []store.Delivered {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(Delivered(s.delivered), Delivered(slices.Collect(maps.Values(s.locked)))...)
}
