package inboxkafka

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
)

// errRejoin ends a membership, so that Run joins the group again.
var errRejoin = errors.New("join the group again")

// member is one membership of the group: a Run has one, or a few.
type member struct {
	*Consumer
	one  inbox.Handler
	many inbox.BatchHandler

	client    *kgo.Client
	connected chan struct{} // closed when client is set; franz-go calls back before NewClient returns
	// ctx ends with Run's ctx, or with the first error that ends Run. Handlers do not get it.
	ctx    context.Context
	cancel context.CancelFunc

	mu             sync.Mutex // guards failure and partitions
	failure        error      // the first error
	partitions     map[partitionName]*partition
	background     sync.WaitGroup
	committing     sync.Mutex // one commit at a time, and none while a revocation commits
	commitSignal   chan struct{}
	probation      probation
	breakers       map[string]*breaker // by topic; guarded by mu
	budget         budget
	fetchError     string                  // the last one logged; used only by the poll loop, like the next field
	unknownTopics  map[string]unknownTopic // topics that the broker does not know
	onlyInbox      bool                    // no other inbox has committed to the group; used only by the commit loop
	commitError    string                  // the last one logged; guarded by committing
	warnedNoGroups sync.Once
}

type partitionName struct {
	topic string
	id    int32
}

func (c *Consumer) newMember(ctx context.Context, one inbox.Handler, many inbox.BatchHandler) *member {
	m := &member{
		Consumer: c, one: one, many: many,
		partitions:    make(map[partitionName]*partition),
		connected:     make(chan struct{}),
		unknownTopics: make(map[string]unknownTopic),
		commitSignal:  make(chan struct{}, 1),
		breakers:      make(map[string]*breaker),
		budget:        budget{limit: int64(c.cfg.BufferBytes)},
	}
	m.ctx, m.cancel = context.WithCancel(ctx)
	return m
}

func (m *member) connect() error {
	start, reset := kgo.NewOffset().AtStart(), kgo.NoResetOffset()
	if m.cfg.StartOffset == Latest {
		start = kgo.NewOffset().AtEnd()
	}
	switch m.cfg.ResetOffset {
	case Earliest:
		reset = kgo.NewOffset().AtStart()
	case Latest:
		reset = kgo.NewOffset().AtEnd()
	}
	options := append([]kgo.Opt{kgo.FetchMaxWait(fetchWait)}, m.cfg.Options...)
	options = append(options, m.budget.options()...)
	var err error
	m.client, err = kgo.NewClient(append(options,
		kgo.SeedBrokers(m.cfg.Brokers...),
		kgo.ConsumerGroup(m.cfg.Group),
		kgo.ConsumeTopics(m.cfg.Topics...),
		kgo.ConsumeStartOffset(start),
		kgo.ConsumeResetOffset(reset),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // see control_records.go
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), // polled records are ours until AllowRebalance
		kgo.OnPartitionsAssigned(m.assigned),
		kgo.AdjustFetchOffsetsFn(m.adjustOffsets),
		kgo.OnPartitionsRevoked(m.revoked),
		kgo.OnPartitionsLost(m.lost),
	)...)
	if err != nil {
		m.cancel()
		return err
	}
	if err := m.budget.connect(m.client); err != nil {
		m.cancel()
		m.client.CloseAllowingRebalance()
		return err
	}
	close(m.connected)
	return nil
}

// fetchWait is how long a broker waits before it answers a fetch without new records. A client sends one fetch at a
// time to a broker. A fetch that was sent while a partition was paused does not include this partition. If all other
// partitions of the broker are idle, a resumed partition waits for the end of that fetch. With franz-go's default of
// 5 s, a busy partition beside idle ones got one full buffer every 5 s.
const fetchWait = 100 * time.Millisecond

// consume polls until m.ctx ends. Then it leaves the group.
func (m *member) consume() error {
	m.background.Go(m.commitLoop)
	m.background.Go(m.warnUnreachable)
	m.background.Go(m.admitWaiting)
	if m.cfg.ReplayEvery > 0 {
		m.background.Go(m.replayLoop)
	}
	if m.cfg.Retention > 0 {
		m.background.Go(m.keepPruned)
	}
	for m.ctx.Err() == nil {
		fetches := m.client.PollRecords(m.ctx, maxPoll)
		m.dispatch(fetches)
		m.client.AllowRebalance()
	}
	m.leave()
	m.cancel()
	m.background.Wait()
	m.log.Info("inboxkafka: stopped")
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failure
}

// maxPoll is the largest number of records that one poll adds to the buffers.
const maxPoll = 5000

// leave gives up all partitions, as in a rebalance, and leaves the group. It does not wait for a broker that does not
// answer: the group notices the end by its session timeout.
func (m *member) leave() {
	m.giveUp(m.all(), true)
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	if err := m.client.LeaveGroupContext(ctx); err != nil {
		m.log.Warn("inboxkafka: could not leave the group, which now waits for the session timeout", "error", err)
	}
	m.client.CloseAllowingRebalance()
	// Close starts a second goroutine that leaves the group, does not wait for it, and ends with a poll. If that poll
	// finds an error, it blocks rebalances (franz-go 1.22.3 as well). The goroutine would then wait for ever.
	m.client.AllowRebalance()
}

const leaveTimeout = 5 * time.Second

// fail ends Run with err. The first error counts.
func (m *member) fail(err error) {
	if m.ctx.Err() == nil {
		m.failed(err)
	}
}

// failed is fail for an error that counts even after Run's ctx has ended.
func (m *member) failed(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure == nil {
		m.failure = err
	}
	m.cancel()
}

func (m *member) dispatch(fetches kgo.Fetches) {
	fetches.EachError(m.fetchFailed)
	fetches.EachTopic(m.checkTopic)
	added := false
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		if len(f.Records) == 0 {
			return
		}
		m.fetchError = ""
		delete(m.unknownTopics, f.Topic)
		if p := m.partition(partitionName{f.Topic, f.Partition}); p != nil {
			p.add(f.Records)
			added = true
		}
	})
	if added {
		m.recordsAdded()
	}
}

func (m *member) partition(name partitionName) *partition {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.partitions[name]
}

func (m *member) all() []*partition {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]*partition, 0, len(m.partitions))
	for _, p := range m.partitions {
		all = append(all, p)
	}
	return all
}
