package inboxkafka

import (
	"errors"
	"sync/atomic"

	"github.com/postroom/postroom/inbox"
)

// maxGoexits limits how often a lane is started again without handling a message. Normally the inbox parks such a
// message after its attempts. With the inbox's policy Halt it does not count attempts.
const maxGoexits = 100

// keepRunning calls run. If a handler ends the lane's goroutine (runtime.Goexit, or FailNow of a test), it calls run
// again in a new one. Otherwise the partition would stop without any error.
func (p *partition) keepRunning(l *lane) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if value := recover(); value != nil {
			panic(value) // no panic of a handler: those become errors
		}
		p.m.goexits.Add(1)
		p.m.log.Error("inboxkafka: a handler ended its goroutine (runtime.Goexit), which counts as a failed attempt: "+
			"make it return an error",
			"topic", p.name.topic, "partition", p.name.id)
		if p.requeue(l) {
			p.work.Go(func() { p.keepRunning(l) })
			return
		}
		p.failed(errors.New("the handler ended its goroutine (runtime.Goexit) too often: make it return an error"))
	}()
	p.run(l)
	returned = true
}

// requeue puts the messages that a lane was handling, and that are not finished, back to the front of its queue. It
// reports whether the lane may continue.
func (p *partition) requeue(l *lane) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	var left []waiting
	for _, w := range l.taken {
		if p.claim != nil { // messages that were committed before the handler ended the goroutine
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

// probation keeps batches at one message until the handler has handled one. A handler that commits by itself would
// commit the ids of its whole batch, and then the messages that it has not handled yet would count as handled. With one
// message such a handler is found without harm.
type probation struct {
	passed atomic.Bool
	tried  atomic.Int64 // messages before the first one that was applied
}

// maxProbation ends the probation of a consumer that begins with many duplicates, for which no handler runs.
const maxProbation = 256

// maxBatch returns the largest number of messages of the next transaction.
func (m *member) maxBatch() int {
	if m.probation.passed.Load() {
		return m.cfg.MaxBatch
	}
	return 1
}

// countOutcomes ends the probation after enough messages.
func (m *member) countOutcomes(outcomes []inbox.Outcome) {
	if m.probation.passed.Load() {
		return
	}
	for _, o := range outcomes {
		if o == inbox.Applied || m.probation.tried.Add(1) >= maxProbation {
			m.probation.passed.Store(true)
		}
	}
}
