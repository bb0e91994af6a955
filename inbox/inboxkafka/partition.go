package inboxkafka

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
)

// partition is one that the group has given us: a buffer, and lanes that empty it. In
// one lane messages are handled in order; those of one key share a lane.
type partition struct {
	m     *member
	name  partitionName
	claim *inbox.PartitionClaim // in OffsetsInDatabase alone; set before the first record

	breaker *breaker // the topic's

	ctx    context.Context // the handlers'; ends when the partition must be given up at once
	cancel context.CancelFunc
	begins context.Context // ends when nothing new is to be begun
	finish context.CancelFunc
	lanes  []*lane
	work   sync.WaitGroup

	mu        sync.Mutex
	low       lowWater
	committed position // what the group was told
	topicID   string   // of the topic when the partition was assigned; "": the brokers give no ids
	noted     bool     // the database keeps how far it has come
	notedAt   int64    // what it was told last; 0: nothing. Under member.committing
	doubted   bool     // a broker did not know the topic since
	stale     bool     // the topic is another one now: nothing is committed. Under member.committing
	records   int      // that wait
	bytes     int64    // of those that wait or are in handlers; part of the member's budget
	paused    bool
	ending    bool // nothing new is begun
}

// lane is a queue of its partition, under its lock.
type lane struct {
	name  string // "": it is the whole partition
	queue []waiting
	taken []waiting // what is being handled
	wake  *sync.Cond

	goexits int // in a row, with nothing brought to its end between them; of the lane alone
}

type waiting struct {
	record *kgo.Record
	ticket uint64
}

// newPartition begins to wait for records. m.mu is held.
func (m *member) newPartition(name partitionName) *partition {
	p := &partition{m: m, name: name, breaker: m.breakers[name.topic]}
	if p.breaker == nil {
		p.breaker = &breaker{log: m.log.With("topic", name.topic), first: m.cfg.trialPause}
		m.breakers[name.topic] = p.breaker
	}
	// Run's end lets handlers finish: giveUp cancels them.
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(m.ctx))
	p.begins, p.finish = context.WithCancel(p.ctx)
	for n := range m.cfg.KeyConcurrency {
		l := &lane{wake: sync.NewCond(&p.mu)}
		if m.cfg.KeyConcurrency > 1 {
			l.name = fmt.Sprintf("%s/%d lane %d of %d", name.topic, name.id, n+1, m.cfg.KeyConcurrency)
		}
		p.lanes = append(p.lanes, l)
	}
	for _, l := range p.lanes {
		p.work.Go(func() { p.keepRunning(l) })
	}
	return p
}

// add takes records in the order of offsets. It never waits: a slow partition must not
// hold up the poll loop, which serves them all.
func (p *partition) add(records []*kgo.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending {
		return
	}
	detach(records)
	for _, r := range records {
		ticket := p.low.begin(r.Offset, r.LeaderEpoch)
		if r.Attrs.IsControl() && p.claim == nil {
			p.low.finish(ticket) // nothing is to be done, and the position is behind it
			p.m.wakeCommitter()
			continue
		}
		l := p.laneOf(r)
		l.queue = append(l.queue, waiting{r, ticket})
		p.records++
		p.take(cost(r))
	}
	for _, l := range p.lanes {
		l.wake.Signal()
	}
	p.pause()
}

// take charges the member's budget; n below 0 gives back. p.mu is held.
func (p *partition) take(n int64) {
	p.bytes += n
	p.m.budget.held.Add(n)
}

// pause has the partition fetched no more when its buffer is full. p.mu is held.
func (p *partition) pause() {
	full := p.records >= p.m.cfg.Buffer || p.bytes >= p.m.budget.free() || len(p.low.open) >= p.m.mostOpen()
	if full && !p.paused && !p.ending {
		p.paused = true
		p.m.client.PauseFetchPartitions(p.name.set())
	}
}

// mostOpen bounds the messages of a partition that are not below its position yet. A lane that
// stands still has the others' messages pile up there, though they are done.
func (m *member) mostOpen() int { return 16 * max(m.cfg.Buffer, m.cfg.MaxBatch) }

// resume has the partition fetched again when its buffer is half empty, so that one at its limit is
// not paused and resumed for each record. empty has it fetched also when nothing is free, if it holds nothing.
// p.mu is held.
func (p *partition) resume(empty bool) {
	free := p.m.budget.free()
	room := free > 0 && p.bytes <= free/2 || empty && p.bytes == 0
	if p.paused && !p.ending && room && p.records <= p.m.cfg.Buffer/2 && len(p.low.open) <= p.m.mostOpen()/2 {
		p.paused = false
		p.m.client.ResumeFetchPartitions(p.name.set())
	}
}

// laneOf keeps the messages of a key in one lane. Those without a key have no order to
// keep, and take the shortest; but in a batch a message that kills the process must come to the
// same lane again, where the inbox has noted that a batch was not finished.
func (p *partition) laneOf(r *kgo.Record) *lane {
	n := uint64(len(p.lanes))
	switch {
	case n == 1:
		return p.lanes[0]
	case len(r.Key) > 0:
		h := fnv.New64a()
		_, _ = h.Write(r.Key)
		return p.lanes[h.Sum64()%n]
	case p.m.cfg.Mode == PerMessage:
		return slices.MinFunc(p.lanes, func(a, b *lane) int { return len(a.queue) - len(b.queue) })
	}
	return p.lanes[uint64(r.Offset)%n]
}

func (n partitionName) set() map[string][]int32 { return map[string][]int32{n.topic: {n.id}} }

// run handles what comes into a lane until the partition ends.
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

// next waits for records of a lane and takes a transaction's worth; nil: the end.
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

// handle brings a batch to its end: each of its messages is committed, or err says why
// the partition cannot go on.
func (p *partition) handle(l *lane, batch []waiting) error {
	batch, markers := p.split(batch)
	ms := make([]inbox.Message, 0, len(batch))
	var undecodable error
	for _, w := range batch {
		m, err := p.m.messageOf(w.record)
		if err != nil {
			undecodable = err // what comes before it is handled first
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
		err = p.skip(l, markers)
	}
	return errors.Join(err, undecodable)
}

func (p *partition) oneByOne(batch []waiting, ms []inbox.Message) error {
	for i := range ms {
		if p.breaker.turn(p.begins, 1) == 0 || p.isEnding() {
			return nil
		}
		err := p.call(batch[i:i+1], ms[i:i+1], func(ctx context.Context, h inbox.BatchHandler) ([]inbox.Outcome, error) {
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
		if err := p.checkAhead(ms[0].Position.Offset); err != nil {
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
		n := p.breaker.turn(p.begins, len(ms))
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

// call has messages processed. It returns nil also if the breaker ended the call: those whose outcome is Failed are
// still to be handled then.
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

// finished notes which messages of a batch have ended, and has their offsets committed.
func (p *partition) finished(batch []waiting, ms []inbox.Message, outcomes []inbox.Outcome) {
	if p.m.cfg.OnOutcome != nil {
		for i, o := range outcomes {
			if o != inbox.Failed { // that one has not come to an end
				p.m.cfg.OnOutcome(ms[i], o)
			}
		}
	}
	p.m.tried(outcomes)
	p.mu.Lock()
	for i, o := range outcomes {
		if o != inbox.Failed {
			p.done(batch[i])
		}
	}
	p.resume(false)
	p.mu.Unlock()
	p.m.freed()
	p.m.wakeCommitter()
}

// drop gives back what was in handlers and was rolled back.
func (p *partition) drop() {
	p.mu.Lock()
	left := p.bytes
	p.take(-left)
	p.mu.Unlock()
	if left > 0 {
		p.m.freed()
	}
}

// done notes that a message has come to its end. p.mu is held.
func (p *partition) done(w waiting) {
	p.low.finish(w.ticket)
	p.take(-cost(w.record))
}

func (p *partition) isEnding() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ending
}

// failed ends the partition's work. Another member that has taken the partition over is
// no error: the group is about to say so.
func (p *partition) failed(err error) {
	p.end()
	switch {
	case p.ctx.Err() != nil: // cancelled, and rolled back
	case errors.Is(err, inbox.ErrFenced):
		p.m.log.Info("inboxkafka: another member has taken the partition", "topic", p.name.topic, "partition", p.name.id, "error", err)
		p.m.background.Go(p.takeBack)
	default:
		// Of a partition that was finishing beside Run's end, too.
		p.m.failed(fmt.Errorf("inboxkafka: topic %q, partition %d: %w", p.name.topic, p.name.id, err))
	}
}

// takeBack joins the group anew if a partition that was lost in the database is still
// ours by the group. A member that was declared dead may have claimed the partition late,
// between its assignment and ours: nobody else would read on.
func (p *partition) takeBack() {
	select {
	case <-p.m.ctx.Done():
	case <-time.After(2 * p.m.cfg.Grace):
		if p.m.partition(p.name) == p {
			p.m.fail(errRejoin)
		}
	}
}

// end lets the lanes finish what they are at, and begin nothing more.
func (p *partition) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ending = true
	p.finish()
	for _, l := range p.lanes {
		for _, w := range l.queue {
			p.take(-cost(w.record))
		}
		l.queue = nil
		l.wake.Signal()
	}
}
