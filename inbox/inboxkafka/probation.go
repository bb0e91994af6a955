package inboxkafka

import (
	"sync/atomic"

	"github.com/postroom/postroom/inbox"
)

// probation keeps batches at one message until the handler has brought one to its end. A
// handler that commits by itself would commit the ids of its whole batch, and the messages after
// the one that it was at would be taken for handled: so it is found out with one.
type probation struct {
	passed atomic.Bool
	tried  atomic.Int64 // messages that ended before; all of them duplicates
}

// maxProbation is for a consumer that begins with messages that it has had before, and runs
// no handler at all.
const maxProbation = 256

// maxBatch is how many messages the next transaction may have.
func (m *member) maxBatch() int {
	if m.probation.passed.Load() {
		return m.cfg.MaxBatch
	}
	return 1
}

// tried notes how messages ended.
func (m *member) tried(outcomes []inbox.Outcome) {
	if m.probation.passed.Load() {
		return
	}
	for _, o := range outcomes {
		if o == inbox.Applied || m.probation.tried.Add(1) >= maxProbation {
			m.probation.passed.Store(true)
		}
	}
}
