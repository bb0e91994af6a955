package inboxkafka

import (
	"errors"
	"time"

	"github.com/postroom/postroom/inbox"
)

// The end of a Kafka transaction is a marker record in each partition to which it wrote. A marker has an offset, but is
// no message. If the position stayed before the last marker, it would be outside the log after retention has deleted
// the messages, which looks like lost messages. The lag would also never be 0. So markers are read, and the position
// moves past them: the position of the group always, and the one in the database when no message is about to move it.

// splitControl separates control records from messages. Only with OffsetsInDatabase the queue has control records.
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

// skipControl moves the position past control records, after all messages of their batch are handled. It tries again
// while the database cannot be reached, until new messages come, which move the position anyway.
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
			p.m.log.Warn("inboxkafka: cannot move the position past the end of a Kafka transaction, trying again",
				"topic",
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

// idle reports whether the lane's queue is empty and the partition is not ending.
func (p *partition) idle(l *lane) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(l.queue) == 0 && !p.ending
}
