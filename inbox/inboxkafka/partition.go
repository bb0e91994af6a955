package inboxkafka

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"

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

	mu         sync.Mutex
	low        lowWatermark
	committed  position // what the group was told
	topicID    string   // of the topic when the partition was assigned; "": the brokers give no ids
	noted      bool     // the database keeps how far it has come
	notedAt    int64    // what it was told last; 0: nothing. Under member.committing
	unverified bool     // a broker did not know the topic since
	recreated  bool     // the topic is another one now: nothing is committed. Under member.committing
	records    int      // that wait
	bytes      int64    // of those that wait or are in handlers; part of the member's budget
	paused     bool
	ending     bool // nothing new is begun
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
		p.charge(cost(r))
	}
	for _, l := range p.lanes {
		l.wake.Signal()
	}
	p.pause()
}

// charge charges the member's budget; n below 0 gives back. p.mu is held.
func (p *partition) charge(n int64) {
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

// drop gives back what was in handlers and was rolled back.
func (p *partition) drop() {
	p.mu.Lock()
	left := p.bytes
	p.charge(-left)
	p.mu.Unlock()
	if left > 0 {
		p.m.memoryFreed()
	}
}

func (p *partition) isEnding() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ending
}

// end lets the lanes finish what they are at, and begin nothing more.
func (p *partition) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ending = true
	p.finish()
	for _, l := range p.lanes {
		for _, w := range l.queue {
			p.charge(-cost(w.record))
		}
		l.queue = nil
		l.wake.Signal()
	}
}
