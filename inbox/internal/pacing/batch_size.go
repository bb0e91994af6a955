package pacing

import "sync"

// BatchSize is how many messages share a transaction. A handler that locks rows in the order of messages meets the
// other batches' handlers the more often, the larger they are, and on PostgreSQL each deadlock stands for a second: so
// a batch that meets one is halved, and the next batches begin with the size that got through. They grow again, but
// slowly: each conflict doubles the number of transactions that have to get through before the size is doubled, and
// each doubling that lasts halves it. It begins without a limit.
//
// It is the inbox's and not the batch's, since how a handler locks is the same in all its batches. Safe for use by
// many goroutines.
type BatchSize struct {
	// Max is the size that no batch exceeds: from there on nothing is limited. Set it before use.
	Max int

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

// Next is how many of n messages the next transaction has.
func (b *BatchSize) Next(n int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.most == 0 {
		return n
	}
	return min(b.most, n)
}

// Failed notes a transaction of n messages that met a conflict. One that began with more than is allowed meanwhile says
// nothing new.
func (b *BatchSize) Failed(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n < 2 || b.most > 0 && n > b.most {
		return
	}
	b.most, b.commits = n/2, 0
	b.patience = min(max(2*b.patience, minPatience), maxPatience)
}

// Committed notes a transaction of n messages that got through.
func (b *BatchSize) Committed(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.most == 0 || n < b.most {
		return
	}
	if b.commits++; b.commits < b.patience {
		return
	}
	b.most, b.commits = 2*b.most, 0
	b.patience = max(b.patience/2, minPatience)
	if b.most >= b.Max {
		b.most, b.patience = 0, 0
	}
}
