package inboxkafka

import (
	"errors"
	"sync/atomic"

	"github.com/postroom/postroom/inbox"
)

// maxGoexits bounds how often a lane is started again without having brought anything to its end. The inbox parks such
// a message after its attempts; with its policy Halt nothing is counted.
const maxGoexits = 100

// keepRunning is run, again in a new goroutine if a handler ends the lane's (runtime.Goexit, or FailNow of a test):
// otherwise the partition would stand still without a word.
func (p *partition) keepRunning(l *lane) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if value := recover(); value != nil {
			panic(value) // not a handler's: those are errors
		}
		p.m.goexits.Add(1)
		p.m.log.Error("inboxkafka: a handler ended its goroutine (runtime.Goexit), which counts as an attempt: let it "+
			"return an error",
			"topic", p.name.topic, "partition", p.name.id)
		if p.takeAgain(l) {
			p.work.Go(func() { p.keepRunning(l) })
			return
		}
		p.failed(errors.New("the handler ends its goroutine again and again (runtime.Goexit): let it return an error"))
	}()
	p.run(l)
	returned = true
}

// takeAgain puts what a lane was handling, and has not brought to its end, back to the front of its queue. It reports
// whether the lane is to go on.
func (p *partition) takeAgain(l *lane) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	var left []waiting
	for _, w := range l.taken {
		if p.claim != nil { // what was committed before the handler ended the call
			if next, known := p.claim.Next(); known && w.record.Offset < next && !p.low.isDone(w.ticket) {
				p.done(w)
			}
		}
		if !p.low.isDone(w.ticket) {
			left = append(left, w)
			p.records++
		}
	}
	if len(left) < len(l.taken) {
		l.goexits = 0
	}
	l.goexits++
	l.queue, l.taken = append(left, l.queue...), nil
	return l.goexits < maxGoexits
}

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

// ended notes how messages ended.
func (m *member) ended(outcomes []inbox.Outcome) {
	if m.probation.passed.Load() {
		return
	}
	for _, o := range outcomes {
		if o == inbox.Applied || m.probation.tried.Add(1) >= maxProbation {
			m.probation.passed.Store(true)
		}
	}
}
