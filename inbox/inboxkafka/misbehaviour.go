package inboxkafka

import (
	"errors"
	"time"
)

// Counts are what handlers did since New that no handler should. Counters in the sense of a metrics library.
type Counts struct {
	Goexits       int64 // handlers that ended their goroutine
	GraceExceeded int64 // partitions that were held for longer than twice Config.Grace by a handler that ignores its context
}

// Counts returns what was counted up to now. Safe for use by many goroutines.
func (c *Consumer) Counts() Counts {
	return Counts{Goexits: c.goexits.Load(), GraceExceeded: c.overstays.Load()}
}

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
		p.m.log.Error("inboxkafka: a handler ended its goroutine (runtime.Goexit), which counts as an attempt: let it return an error",
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

// isDone reports whether the record of a ticket is finished.
func (l *lowWater) isDone(ticket uint64) bool {
	return ticket < l.first || l.open[ticket-l.first].done
}

// await returns when nothing of a partition is under way. overdue is when a handler that heeds its context has
// returned.
func (m *member) await(p *partition, overdue <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		p.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return
	case <-overdue:
	}
	select {
	case <-done: // both were ready
		return
	default:
	}
	began := time.Now()
	m.overstays.Add(1)
	m.log.Warn("inboxkafka: a handler ignores that its context has ended, and holds a partition that is to be given up: "+
		"have it return when ctx ends; until then the member's rebalance, or the end of Run, waits for it",
		"topic", p.name.topic, "partition", p.name.id, "grace", m.cfg.Grace)
	<-done
	m.log.Info("inboxkafka: the handler has returned at last", "topic", p.name.topic, "partition", p.name.id,
		"after", (2*m.cfg.Grace + time.Since(began)).Round(time.Millisecond))
}
