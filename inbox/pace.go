package inbox

import "sync"

// pace is how many messages share a transaction. A handler that locks rows in the order of messages meets the other
// batches' handlers the more often, the larger they are, and on PostgreSQL each deadlock stands for a second: so a
// batch that meets one is halved, and the next batches begin with the size that got through. They grow again, but
// slowly: each conflict doubles the number of transactions that have to get through before the size is doubled, and
// each doubling that lasts halves it. The zero value has no limit.
//
// It is the inbox's and not the batch's, since how a handler locks is the same in all its batches. Safe for use by
// many goroutines.
type pace struct {
	mu       sync.Mutex
	most     int // messages of a transaction; 0: no limit
	commits  int // of that size, since it changed
	patience int // so many let it grow
}

// Transactions of the size that got through before it is doubled: at least, and at the most.
const (
	minPatience = 8
	maxPatience = 4096
)

// size is how many of n messages the next transaction has.
func (p *pace) size(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.most == 0 {
		return n
	}
	return min(p.most, n)
}

// failed notes a transaction of n messages that met a conflict. One that began with more than is allowed meanwhile says
// nothing new.
func (p *pace) failed(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n < 2 || p.most > 0 && n > p.most {
		return
	}
	p.most, p.commits = n/2, 0
	p.patience = min(max(2*p.patience, minPatience), maxPatience)
}

// committed notes a transaction of n messages that got through.
func (p *pace) committed(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.most == 0 || n < p.most {
		return
	}
	if p.commits++; p.commits < p.patience {
		return
	}
	p.most, p.commits = 2*p.most, 0
	p.patience = max(p.patience/2, minPatience)
	if p.most >= MaxBatch {
		p.most, p.patience = 0, 0
	}
}
