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

// partition is a partition that the group has assigned to us: a buffer, and lanes that handle its messages. The
// messages of a lane are handled in order, and all messages of a key are in one lane.
type partition struct {
	m     *member
	name  partitionName
	claim *inbox.PartitionClaim // only with OffsetsInDatabase; set before the first record

	breaker *breaker // the topic's

	ctx    context.Context // of the handlers; ends when the partition must be given up at once
	cancel context.CancelFunc
	begins context.Context // ends when no new transaction may begin
	finish context.CancelFunc
	lanes  []*lane
	work   sync.WaitGroup

	mu         sync.Mutex
	low        lowWatermark
	committed  position // last committed to the group
	topicID    string   // id of the topic at the assignment; empty: the brokers give no ids
	noted      bool     // the database stores the applied offset
	notedAt    int64    // last applied offset that was stored; 0: none. Guarded by member.committing
	unverified bool     // a broker did not know the topic meanwhile
	recreated  bool     // the topic was recreated, so nothing is committed. Guarded by member.committing
	records    int      // number of waiting records
	bytes      int64    // memory of waiting records and those in handlers; part of the member's budget
	paused     bool
	ending     bool // no new transaction begins
}

// lane is a queue of its partition, and guarded by its lock.
type lane struct {
	name  string // empty if it is the only lane
	queue []waiting
	taken []waiting // what is being handled
	wake  *sync.Cond

	goexits int // in a row, without a handled message between them; used only by the lane
}

type waiting struct {
	record *kgo.Record
	ticket uint64
}

// newPartition starts the lanes of a partition. m.mu is held.
func (m *member) newPartition(name partitionName) *partition {
	p := &partition{m: m, name: name, breaker: m.breakers[name.topic]}
	if p.breaker == nil {
		p.breaker = &breaker{log: m.log.With("topic", name.topic), first: m.cfg.trialPause}
		m.breakers[name.topic] = p.breaker
	}
	// Handlers may finish after Run's ctx has ended. giveUp cancels them later.
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

// add queues records in the order of offsets. It never waits, because a slow partition must not stop the poll loop of
// all partitions.
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
			p.low.finish(ticket) // there is nothing to handle, and the position moves past it
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

// charge takes n bytes from the member's budget; a negative n returns them. p.mu is held.
func (p *partition) charge(n int64) {
	p.bytes += n
	p.m.budget.held.Add(n)
}

// pause stops fetching the partition when its buffer is full. p.mu is held.
func (p *partition) pause() {
	full := p.records >= p.m.cfg.Buffer || p.bytes >= p.m.budget.free() || len(p.low.open) >= p.m.mostOpen()
	if full && !p.paused && !p.ending {
		p.paused = true
		p.m.client.PauseFetchPartitions(p.name.set())
	}
}

// mostOpen limits the messages of a partition that are not below its position. While one lane is slow, the finished
// messages of the other lanes accumulate there.
func (m *member) mostOpen() int { return 16 * max(m.cfg.Buffer, m.cfg.MaxBatch) }

// resume fetches the partition again when its buffer is half empty, so that it is not paused and resumed for each
// record. With empty, it also does so when no memory is free, if the partition uses none. p.mu is held.
func (p *partition) resume(empty bool) {
	free := p.m.budget.free()
	room := free > 0 && p.bytes <= free/2 || empty && p.bytes == 0
	if p.paused && !p.ending && room && p.records <= p.m.cfg.Buffer/2 && len(p.low.open) <= p.m.mostOpen()/2 {
		p.paused = false
		p.m.client.ResumeFetchPartitions(p.name.set())
	}
}

// laneOf returns the lane of a record. All messages of a key have the same lane. Messages without a key have no order,
// and take the lane with the shortest queue. But with batches such a message must get the same lane after a restart: if
// it kills the process, the inbox has stored for this lane that a batch was not finished.
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

// drop returns the memory of messages that were in handlers and were rolled back.
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

// end lets the lanes finish their current transaction, and begin no new one.
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
