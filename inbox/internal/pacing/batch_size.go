package pacing

import "sync"

// BatchSize says how many messages share a transaction. If a handler locks rows in the order of the messages, larger
// batches conflict with each other more often, and on PostgreSQL each deadlock takes a second. So a batch with a
// conflict is halved, and the next batches begin with the size that succeeded. Then the size grows again, but slowly:
// each conflict doubles the number of transactions that must succeed before the size is doubled, and each doubling
// halves this number. At first there is no limit.
//
// An inbox has one BatchSize for all batches, because its handler locks in the same way in all of them. Safe for
// concurrent use.
type BatchSize struct {
	// Max is the size of the largest possible batch. When the limit grows to it, there is no limit any more. Set it
	// before use.
	Max int

	mu       sync.Mutex
	most     int // messages of a transaction; 0: no limit
	commits  int // transactions of that size that succeeded since it changed
	patience int // how many of them double the size
}

// The limits of patience.
const (
	minPatience = 8
	maxPatience = 4096
)

// Next returns how many of n messages the next transaction has.
func (b *BatchSize) Next(n int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.most == 0 {
		return n
	}
	return min(b.most, n)
}

// Failed records a transaction of n messages that had a conflict. If it began with more messages than the limit is now,
// it changes nothing.
func (b *BatchSize) Failed(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n < 2 || b.most > 0 && n > b.most {
		return
	}
	b.most, b.commits = n/2, 0
	b.patience = min(max(2*b.patience, minPatience), maxPatience)
}

// Committed records a transaction of n messages that succeeded.
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
