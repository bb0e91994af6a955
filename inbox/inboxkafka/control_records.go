package inboxkafka

import (
	"errors"
	"time"

	"github.com/postroom/postroom/inbox"
)

// The end of a transaction takes an offset in each partition that it wrote to: a marker, which
// is no message. A position that stayed before the last one would lie outside the log as soon as
// retention has emptied it, and look like lost messages; and the lag would never be nothing. So
// markers are read, and the position goes behind them: that of the group by itself, the one
// in the database when nothing else is about to move it.

// splitControl takes the control records out of a batch. Only in OffsetsInDatabase there are any in the queue.
func (p *partition) splitControl(batch []waiting) (messages, controls []waiting) {
	messages = batch[:0]
	for _, w := range batch {
		if w.record.Attrs.IsControl() {
			controls = append(controls, w)
		} else {
			messages = append(messages, w)
		}
	}
	return messages, controls
}

// skipControl moves the position behind control records, when all messages of their batch are done. A database that
// is away is waited for, unless more comes: that moves the position anyway.
func (p *partition) skipControl(l *lane, controls []waiting) error {
	if len(controls) == 0 {
		return nil
	}
	behind := controls[len(controls)-1].record.Offset + 1
	for tries := 1; p.idle(l); tries++ {
		next, known := p.claim.Next()
		if known && next >= behind {
			break
		}
		err := p.claim.Skip(p.ctx, p.m.cfg.DB, behind)
		if err == nil {
			break
		}
		if errors.Is(err, inbox.ErrFenced) {
			return err
		}
		if tries == 1 && p.ctx.Err() == nil {
			p.m.log.Warn("inboxkafka: cannot move the position behind a transaction's end, trying again", "topic",
				p.name.topic, "partition", p.name.id, "error", err)
		}
		select {
		case <-p.ctx.Done():
			return nil
		case <-time.After(claimRetryPause):
		}
	}
	p.mu.Lock()
	for _, w := range controls {
		p.done(w)
	}
	p.resume(false)
	p.mu.Unlock()
	p.m.memoryFreed()
	p.m.wakeCommitter()
	return nil
}

// idle reports whether the lane has nothing to do and is to go on.
func (p *partition) idle(l *lane) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(l.queue) == 0 && !p.ending
}
