package inboxkafka

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/postroom/postroom/inbox"
)

// run handles the messages of a lane until the partition ends.
func (p *partition) run(l *lane) {
	for {
		batch := p.next(l)
		if batch == nil {
			return
		}
		if err := p.handle(l, batch); err != nil {
			p.failed(err)
			return
		}
		l.goexits = 0
	}
}

// next waits for records of a lane, and takes those of one transaction. nil means that the partition ends.
func (p *partition) next(l *lane) []waiting {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.taken = nil
	for len(l.queue) == 0 && !p.ending {
		l.wake.Wait()
	}
	if p.ending {
		return nil
	}
	n, bytes, most := 0, int64(0), p.m.maxBatch()
	for n < len(l.queue) && n < most && (n == 0 || bytes+cost(l.queue[n].record) <= p.m.budget.limit/4) {
		bytes += cost(l.queue[n].record)
		n++
	}
	batch := slices.Clone(l.queue[:n])
	l.taken = slices.Clone(batch) // handle sorts batch
	clear(l.queue[:n])
	l.queue = l.queue[n:]
	p.records -= n
	p.resume(false)
	return batch
}

// handle handles a batch until each of its messages is committed. An error says why the partition cannot continue.
func (p *partition) handle(l *lane, batch []waiting) error {
	batch, controls := p.splitControl(batch)
	ms := make([]inbox.Message, 0, len(batch))
	var undecodable error
	for _, w := range batch {
		m, err := p.m.messageOf(w.record)
		if err != nil {
			undecodable = err // the messages before it are handled first
			break
		}
		ms = append(ms, m)
	}
	var err error
	if p.m.cfg.Mode == PerMessage {
		err = p.oneByOne(batch, ms)
	} else if len(ms) > 0 {
		err = p.together(l, batch, ms)
	}
	if err == nil && undecodable == nil {
		err = p.skipControl(l, controls)
	}
	return errors.Join(err, undecodable)
}

func (p *partition) oneByOne(batch []waiting, ms []inbox.Message) error {
	for i := range ms {
		if p.breaker.admit(p.begins, 1) == 0 || p.isEnding() {
			return nil
		}
		err := p.call(batch[i:i+1], ms[i:i+1], func(ctx context.Context, h inbox.BatchHandler) ([]inbox.Outcome,
			error) {
			outcome, err := p.m.cfg.Inbox.Process(ctx, p.m.cfg.DB, ms[i], func(ctx context.Context, tx *sql.Tx) error {
				return h(ctx, tx, ms[i:i+1])
			})
			return []inbox.Outcome{outcome}, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *partition) together(l *lane, batch []waiting, ms []inbox.Message) error {
	var opts []inbox.BatchOption
	if p.claim != nil {
		if err := p.checkLogNotCut(ms[0].Position.Offset); err != nil {
			return err
		}
		opts = append(opts, inbox.WithPartitionClaim(p.claim))
		if p.m.withoutIDs(p.name.topic) {
			opts = append(opts, inbox.WithoutIDs())
		}
	}
	if l.name != "" {
		opts = append(opts, inbox.WithStream(l.name))
	}
	for len(ms) > 0 {
		n := p.breaker.admit(p.begins, len(ms))
		if n == 0 {
			return nil
		}
		done := 0
		err := p.call(batch[:n], ms[:n], func(ctx context.Context, h inbox.BatchHandler) ([]inbox.Outcome, error) {
			outcomes, err := p.m.cfg.Inbox.ProcessBatch(ctx, p.m.cfg.DB, ms[:n], h, opts...)
			for done < n && outcomes[done] != inbox.Failed {
				done++
			}
			return outcomes, err
		})
		if err != nil {
			return err
		}
		batch, ms = batch[done:], ms[done:]
	}
	return nil
}

// errLogCut is the error of checkLogNotCut.
var errLogCut = errors.New("the log was truncated")

// checkLogNotCut fails for messages below the position in the database, which counts them as handled. The log was
// truncated (by an unclean leader election, with ResetOffset), and other messages have these offsets now.
func (p *partition) checkLogNotCut(offset int64) error {
	if next, known := p.claim.Next(); known && offset < next {
		return fmt.Errorf("%w: a message came at offset %d, but in the database all messages below %d are handled: "+
			"other messages may have these offsets now; to read them, reset the partition's position: UPDATE %s SET "+
			"next_offset = %[2]d WHERE consumer = '%[5]s' AND kafka_topic = '%[6]s' AND kafka_partition = %[7]d",
			errLogCut, offset, next, p.m.cfg.Inbox.OffsetsTable(), p.m.cfg.Inbox.Consumer(), p.name.topic, p.name.id)
	}
	return nil
}

// call runs process for messages. It also returns nil if the breaker ended the call. Then messages with the outcome
// Failed must still be handled.
func (p *partition) call(batch []waiting, ms []inbox.Message,
	process func(ctx context.Context, h inbox.BatchHandler) ([]inbox.Outcome, error),
) error {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	t := &trial{m: p.m, breaker: p.breaker, cancel: cancel, ran: make(map[string]bool)}
	outcomes, err := process(ctx, t.handle)
	t.end(ms, outcomes)
	p.finished(batch, ms, outcomes)
	if t.stopped && p.ctx.Err() == nil {
		return nil
	}
	return err
}

// finished marks the handled messages of a batch, and wakes the committer.
func (p *partition) finished(batch []waiting, ms []inbox.Message, outcomes []inbox.Outcome) {
	if p.m.cfg.OnOutcome != nil {
		for i, o := range outcomes {
			if o != inbox.Failed { // a failed message is tried again
				p.m.cfg.OnOutcome(ms[i], o)
			}
		}
	}
	p.m.countOutcomes(outcomes)
	p.mu.Lock()
	for i, o := range outcomes {
		if o != inbox.Failed {
			p.done(batch[i])
		}
	}
	p.resume(false)
	p.mu.Unlock()
	p.m.memoryFreed()
	p.m.wakeCommitter()
}

// done marks a message as handled. p.mu is held.
func (p *partition) done(w waiting) {
	p.low.finish(w.ticket)
	p.charge(-cost(w.record))
}

// failed ends the work on the partition. It is no error if another member has claimed the partition: the group will
// report this soon.
func (p *partition) failed(err error) {
	p.end()
	switch {
	case p.ctx.Err() != nil: // cancelled, and rolled back
	case errors.Is(err, inbox.ErrFenced):
		p.m.log.Info("inboxkafka: another member has taken the partition", "topic", p.name.topic, "partition",
			p.name.id,
			"error", err)
		p.m.background.Go(p.rejoinIfAssigned)
	default:
		// This also counts for a partition that was finishing while Run ended.
		p.m.failed(fmt.Errorf("inboxkafka: topic %q, partition %d: %w", p.name.topic, p.name.id, err))
	}
}
