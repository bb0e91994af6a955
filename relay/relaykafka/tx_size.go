package relaykafka

import (
	"sync"
	"time"
)

// txSize bounds transactions, for all sessions of a sink. After a transaction that did not end in time, the
// next one is half as large. This is needed on a slow network: there, as many records as Config allows may
// take more than ten seconds, and each attempt would end in the same way. While transactions are fast, the
// size doubles again.
type txSize struct {
	most    int // Config.TransactionRecords
	mostOf  int64
	timeout time.Duration

	mu      sync.Mutex
	records int
	bytes   int64
}

func newTxSize(cfg Config) *txSize {
	return &txSize{
		most: cfg.TransactionRecords, mostOf: cfg.TransactionBytes, timeout: cfg.transactionTimeout,
		records: cfg.TransactionRecords, bytes: cfg.TransactionBytes,
	}
}

func (z *txSize) limits() (records int, bytes int64) {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.records, z.bytes
}

// timedOut notes that a transaction of these items did not end in time.
func (z *txSize) timedOut(items []*txItem) {
	size := int64(0)
	for _, it := range items {
		size += it.size
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records, z.bytes = max(len(items)/2, 1), max(size/2, 1)
}

// through notes that a transaction ended in time.
func (z *txSize) through(took time.Duration) {
	if took > z.timeout/4 {
		return
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records, z.bytes = min(2*z.records, z.most), min(2*z.bytes, z.mostOf)
}
