package relaykafka

import (
	"sync"
	"time"
)

// txSize bounds transactions, for all sessions of a sink. One that was not through in
// time has the next be half as large: on a slow network, the limits of Config may be
// more than ten seconds' worth, and each attempt would end like the one before. While
// transactions are quick, it doubles again.
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

// timedOut notes a transaction of that size that was not through in time.
func (z *txSize) timedOut(items []*txItem) {
	size := int64(0)
	for _, it := range items {
		size += it.size
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records, z.bytes = max(len(items)/2, 1), max(size/2, 1)
}

// through notes a transaction that was.
func (z *txSize) through(took time.Duration) {
	if took > z.timeout/4 {
		return
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records, z.bytes = min(2*z.records, z.most), min(2*z.bytes, z.mostOf)
}
