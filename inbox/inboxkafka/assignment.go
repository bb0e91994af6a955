package inboxkafka

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The order in which franz-go calls: assigned, then adjustOffsets, then records come; before
// the next assignment revoked or lost.

func (m *member) assigned(_ context.Context, client *kgo.Client, added map[string][]int32) {
	<-m.connected
	client.ResumeFetchPartitions(added) // an earlier assignment may have paused them
	for topic, ids := range added {
		for _, id := range ids {
			name := partitionName{topic, id}
			m.mu.Lock()
			m.partitions[name] = m.newPartition(name)
			m.mu.Unlock()
			m.log.Info("inboxkafka: assigned", "topic", topic, "partition", id)
		}
	}
}

func (m *member) revoked(_ context.Context, _ *kgo.Client, removed map[string][]int32) {
	m.giveUp(m.named(removed), true)
}

// lost partitions may be at work in another member already, whose offsets ours would
// set back: they are dropped.
func (m *member) lost(_ context.Context, _ *kgo.Client, removed map[string][]int32) {
	m.giveUp(m.named(removed), false)
}

func (m *member) named(set map[string][]int32) []*partition {
	var found []*partition
	for topic, ids := range set {
		for _, id := range ids {
			if p := m.partition(partitionName{topic, id}); p != nil {
				found = append(found, p)
			}
		}
	}
	return found
}

// giveUp ends the work on partitions, and returns when nothing of it is under way. If
// they are still ours, transactions may finish for the time of Grace, and the offsets
// are committed.
func (m *member) giveUp(ps []*partition, ours bool) {
	if len(ps) == 0 {
		return
	}
	for _, p := range ps {
		p.end()
		if !ours {
			p.cancel()
		}
	}
	cancel := func() {
		for _, p := range ps {
			p.cancel()
		}
	}
	grace := time.AfterFunc(m.cfg.Grace, cancel)
	overdue, stop := context.WithTimeout(context.Background(), 2*m.cfg.Grace)
	for _, p := range ps {
		m.await(p, overdue.Done())
	}
	stop()
	grace.Stop()
	cancel()
	for _, p := range ps {
		p.drop()
	}

	// From here on the committer, which takes this lock for the whole of a commit, does
	// not know them: an old offset cannot land after the next owner's.
	m.committing.Lock()
	defer m.committing.Unlock()
	if ours {
		m.commit(ps)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range ps {
		if m.partitions[p.name] != p {
			continue // given up beside us
		}
		delete(m.partitions, p.name)
		what := "inboxkafka: revoked"
		if !ours {
			what = "inboxkafka: lost"
		}
		m.log.Info(what, "topic", p.name.topic, "partition", p.name.id, "next_offset", p.low.next.offset)
	}
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
	m.graceExceeded.Add(1)
	m.log.Warn("inboxkafka: a handler ignores that its context has ended, and holds a partition that is to be given up: "+
		"have it return when ctx ends; until then the member's rebalance, or the end of Run, waits for it",
		"topic", p.name.topic, "partition", p.name.id, "grace", m.cfg.Grace)
	<-done
	m.log.Info("inboxkafka: the handler has returned at last", "topic", p.name.topic, "partition", p.name.id,
		"after", (2*m.cfg.Grace + time.Since(began)).Round(time.Millisecond))
}

// isGroupError reports whether a commit failed because the group has moved on.
func isGroupError(err error) bool {
	for _, moved := range []error{kerr.RebalanceInProgress, kerr.IllegalGeneration, kerr.UnknownMemberID,
		kerr.FencedInstanceID, kerr.StaleMemberEpoch, kerr.FencedMemberEpoch} {
		if errors.Is(err, moved) {
			return true
		}
	}
	return false
}

// rejoinIfAssigned joins the group anew if a partition that was lost in the database is still
// ours by the group. A member that was declared dead may have claimed the partition late,
// between its assignment and ours: nobody else would read on.
func (p *partition) rejoinIfAssigned() {
	select {
	case <-p.m.ctx.Done():
	case <-time.After(2 * p.m.cfg.Grace):
		if p.m.partition(p.name) == p {
			p.m.fail(errRejoin)
		}
	}
}
