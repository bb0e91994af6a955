package relay

import (
	"hash/maphash"
	"slices"
	"sync"

	"github.com/google/uuid"
)

// flight is a record that was read and not yet deleted.
type flight struct {
	id      int64 // the row's; of a parked row the negative of its seq
	eventID uuid.UUID
	size    int64
	hash    uint64 // of topic and key; 0: no key
	lane    *lane  // nil: of nobody's interest
	acked   bool
	failed  bool

	// Set by the session before it acknowledges, if it knows.
	placed      bool
	partition   int32
	offset      int64
	transaction int64
}

// inFlightSet is the in-flight set: what a read must not hand out again.
//
// An id enters when it is read, and leaves when its delete has committed and every
// read that began before that commit has returned: such a read may still show the
// row, and would send it a second time (hazard read-during-delete). There is one reader, so at
// most one such read.
//
// Safe for concurrent use: the reader adds, the sink acknowledges, the deleter removes.
type inFlightSet struct {
	mu      sync.Mutex
	byID    map[int64]*flight
	waiting int   // not acknowledged yet
	bytes   int64 // of those

	delivered []*flight // acknowledged, not taken by the deleter yet
	sorted    bool      // delivered ascends
	nextTake  int       // as many must be delivered before it may hold another long run
	failed    []failure

	locked            map[int64]*flight // delivered rows that somebody else has locked: to be deleted later
	reading           bool
	deletedDuringRead []*flight // deleted while a read was running

	seed   maphash.Seed
	recent recent
	open   openTransactions

	hasDelivered chan struct{} // a record was delivered: there is something to delete
	hasFailed    chan struct{} // a record failed: the session has to end
	changed      chan struct{} // room was made, or an acknowledgement came
	total        int64         // delivered so far
	top          int64         // the highest id that was ever in the set
	replayed     int           // delivered out of outbox_parked, where they still are
}

// failure is a record that the sink could not deliver.
type failure struct {
	record *Record
	err    error
}

// newInFlightSet makes an empty set. seed is that of its hashes.
func newInFlightSet(seed maphash.Seed) *inFlightSet {
	return &inFlightSet{
		byID:         make(map[int64]*flight),
		locked:       make(map[int64]*flight),
		seed:         seed,
		hasDelivered: make(chan struct{}, 1),
		hasFailed:    make(chan struct{}, 1),
		changed:      make(chan struct{}, 1),
	}
}

// signal wakes whoever waits on c; one signal stands for many.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// beginRead and endRead enclose a read, from before its statement until its rows
// have been looked up in the set.
func (f *inFlightSet) beginRead() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reading = true
}

func (f *inFlightSet) endRead() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reading = false
	for _, gone := range f.deletedDuringRead {
		delete(f.byID, gone.id)
	}
	f.deletedDuringRead = nil
}

// lookup says whether a row is in flight, and whether under the same event: an id
// that is held by another event has come back after a failover or a restore.
func (f *inFlightSet) lookup(id int64, eventID uuid.UUID) (held, same bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	have, held := f.byID[id]
	return held, held && have.eventID == eventID
}

// add takes in records that are about to be delivered.
func (f *inFlightSet) add(records []*Record) {
	slab := make([]flight, len(records))
	for i, r := range records {
		slab[i] = flight{id: r.flightID(), eventID: r.EventID, size: recordSize(r), hash: f.hash(r), lane: r.lane}
		r.flight = &slab[i]
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recent.add(slab)
	for _, r := range records {
		f.byID[r.flight.id] = r.flight
		f.waiting++
		f.bytes += r.flight.size
		f.top = max(f.top, r.flight.id)
		r.flight.lane.add(1, r.flight.size)
	}
}

// ack is the Ack that sinks are given.
func (f *inFlightSet) ack(r *Record, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl := r.flight
	if fl == nil || fl.acked {
		return // a sink that breaks the rule of one acknowledgement must not break the count
	}
	fl.acked, fl.failed = true, err != nil
	r.letGo()
	f.waiting--
	f.bytes -= fl.size
	fl.lane.add(-1, -fl.size)
	switch {
	case err != nil:
		f.failed = append(f.failed, failure{record: r, err: err})
		signal(f.hasFailed)
	case fl.id < 0: // the reader waits for it, and deletes it from outbox_parked
		f.open.sent(fl)
		f.replayed++
		f.total++
	default:
		f.open.sent(fl)
		f.sorted = f.sorted && (len(f.delivered) == 0 || f.delivered[len(f.delivered)-1].id < fl.id)
		f.delivered = append(f.delivered, fl)
		f.total++
		signal(f.hasDelivered)
	}
	signal(f.changed)
}

// counts returns how many records are in flight, how many of them the sink has not
// acknowledged, and the bytes of those.
func (f *inFlightSet) counts() (held, waiting int, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.byID), f.waiting, f.bytes
}

// highest returns the highest id that was ever in the set. Only the reader raises it.
func (f *inFlightSet) highest() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.top
}

func (f *inFlightSet) deliveredTotal() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.total
}

func (f *inFlightSet) failures() []failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// hash is a number for a record's topic and key, 0 if it has none. Two keys may share
// one: whoever uses it must be safe when they do.
func (f *inFlightSet) hash(r *Record) uint64 {
	if r.Key == nil {
		return 0
	}
	return keyHash(f.seed, r.Topic, r.Key)
}

func keyHash(seed maphash.Seed, topic string, key []byte) uint64 {
	h := maphash.String(seed, topic) ^ maphash.Bytes(seed, key)*31
	return max(h, 1)
}

// waitingKeys returns the hashes of the keys of which records are not acknowledged yet.
func (f *inFlightSet) waitingKeys() map[uint64]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	keys := make(map[uint64]bool)
	for _, fl := range f.byID {
		if !fl.acked && fl.hash != 0 {
			keys[fl.hash] = true
		}
	}
	return keys
}

// waitingFor reports whether any of the records is not acknowledged yet.
func (f *inFlightSet) waitingFor(records []*Record) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(records, func(r *Record) bool { return r.flight != nil && !r.flight.acked })
}

// waitingOf counts the records of a topic that the sink has not acknowledged.
func (f *inFlightSet) waitingOf(t *topicState) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return t.waiting
}

// overtaken reports whether a later record of the failed one's key was delivered, or
// might have been.
func (f *inFlightSet) overtaken(failed *Record) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.recent.overtaken(failed.flight)
}

// confirmed returns the number up to which every transaction's rows are deleted.
func (f *inFlightSet) confirmed() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open.confirmed(f.waiting == 0)
}
