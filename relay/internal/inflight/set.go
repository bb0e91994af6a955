package inflight

import (
	"cmp"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/postroom/postroom/relay/internal/pacing"
)

// Set has the entries of one session.
//
// The methods stand in the order in which an entry passes through them. Add enters it, just before its record
// goes to the sink. Ack notes that the sink has acknowledged the record, and wakes the deleter. TakeDelivered
// gives the entry to the deleter; it stays in the set. Deleted removes it, when the row's delete has
// committed and every read that began before the commit has returned: such a read may still return the row, and
// the row would be sent a second time (hazard read-during-delete). There is one reader, so there is at most one
// such read.
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

// TakeDelivered gives the deleter at most limit delivered entries, in ascending order: all of them, or only
// the long runs. They stay in the set.
func (s *Set) TakeDelivered(all bool, limit int) []*Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.delivered) == 0 || !all && len(s.delivered) < s.nextTake {
		return nil
	}
	if !s.sorted {
		slices.SortFunc(s.delivered, func(a, b *Entry) int { return cmp.Compare(a.ID, b.ID) })
		s.sorted = true
	}
	if all {
		n := Fitting(len(s.delivered), limit, func(i int) int64 { return s.delivered[i].Size })
		taken := s.delivered[:n:n]
		s.delivered, s.nextTake = s.delivered[n:], 0
		return taken
	}
	return s.takeRuns(limit)
}

func (s *Set) takeRuns(limit int) []*Entry {
	var taken, rest []*Entry
	bytes := int64(0)
	for start := 0; start < len(s.delivered); {
		end := runEnd(s.delivered, start)
		if end-start >= MinRun && len(taken) < limit && bytes < maxDeleteBytes {
			end = start + Fitting(end-start, limit-len(taken), func(i int) int64 { return s.delivered[start+i].Size })
			taken = append(taken, s.delivered[start:end]...)
			for _, e := range s.delivered[start:end] {
				bytes += e.Size
			}
		} else {
			rest = append(rest, s.delivered[start:end]...)
		}
		start = end
	}
	s.nextTake = len(rest) + MinRun
	if len(taken) > 0 {
		s.delivered = rest
	}
	return taken
}

// PutBack returns entries to the set that the deleter took and could not delete.
func (s *Set) PutBack(taken []*Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delivered = append(taken, s.delivered...)
	s.sorted = false
}

// Deleted removes entries whose delete has committed. It does so at once, or when the running read has
// returned.
func (s *Set) Deleted(gone []*Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open.deleted(gone)
	for _, e := range gone {
		delete(s.locked, e.key())
		if e.Seq > 0 {
			s.replayed--
		}
	}
	if s.reading {
		s.deletedDuringRead = append(s.deletedDuringRead, gone...)
	} else {
		for _, e := range gone {
			delete(s.byKey, e.key())
		}
	}
	pacing.Signal(s.Changed)
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
