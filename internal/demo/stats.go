package demo

import (
	"math"
	"sync"
	"time"

	"github.com/postroom/postroom/inbox"
)

// counts is what the services counted on the way. It is for the view. The check does not use it.
type counts struct {
	Committed  int64 // orders
	RolledBack int64 // orders
	Delivered  int64 // records that the sink acknowledged
	Invoices   int64
	Copies     int64 // messages that were given to the inbox again
	Dropped    int64 // messages that the inbox recognised as copies
}

// stats is safe for use by many goroutines.
type stats struct {
	mu      sync.Mutex
	counts  counts
	pending map[int64]time.Time // by order: time of its commit or invoice, whichever was reported first
	total   latencies
	recent  latencies // since the last call of look
}

func newStats() *stats { return &stats{pending: make(map[int64]time.Time)} }

func (s *stats) add(fn func(*counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn(&s.counts)
}

// committed records that an order was committed now.
func (s *stats) committed(order int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Committed++
	s.pair(order)
}

// handled records what the inbox did with a message now, and whether the message was a copy.
func (s *stats) handled(order int64, outcome inbox.Outcome, copied bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if copied {
		s.counts.Copies++
	}
	if outcome == inbox.Duplicate {
		s.counts.Dropped++
		return
	}
	s.counts.Invoices++
	s.pair(order)
}

// pair measures the time between an order's commit and its invoice. If the shop's goroutine reports its
// commit after billing's, the measured time is close to zero.
func (s *stats) pair(order int64) {
	first, both := s.pending[order]
	if !both {
		s.pending[order] = time.Now()
		return
	}
	delete(s.pending, order)
	took := time.Since(first)
	s.total.add(took)
	s.recent.add(took)
}

// look returns the counts, all latencies, and the latencies since the last call.
func (s *stats) look() (c counts, total, recent latencies) {
	s.mu.Lock()
	defer s.mu.Unlock()
	recent, s.recent = s.recent, latencies{}
	return s.counts, s.total, recent
}

// latencies counts times in buckets from 1 µs to 68 s. Each bucket is 9 % (an eighth of a power of two) wider
// than the previous one. So the memory does not depend on the number of times.
type latencies struct {
	n       int64
	buckets [26 * 8]int64
}

func (l *latencies) add(d time.Duration) {
	i := int(8 * math.Log2(max(1, float64(d.Microseconds()))))
	l.buckets[min(i, len(l.buckets)-1)]++
	l.n++
}

// quantile returns the time that a part q of the latencies did not exceed, with an error of up to 9 %. It
// returns 0 if there are none.
func (l *latencies) quantile(q float64) time.Duration {
	if l.n == 0 {
		return 0
	}
	rank := int64(math.Ceil(q * float64(l.n)))
	i, below := 0, l.buckets[0]
	for below < rank {
		i++
		below += l.buckets[i]
	}
	return time.Duration(math.Exp2(float64(i+1)/8)) * time.Microsecond
}
