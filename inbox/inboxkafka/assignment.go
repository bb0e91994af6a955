package inboxkafka

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// franz-go calls in this order: assigned, then adjustOffsets, then records arrive; and revoked or lost before the next
// assignment.

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

// lost drops partitions without a commit. Another member may already handle them, and our offsets would be older than
// its offsets.
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

// giveUp ends the work on partitions, and returns when no handler of them runs any more. If they are still ours, the
// current transactions may take up to Grace to finish, and the offsets are committed.
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

	// The committer holds this lock during a whole commit. From here on it no longer knows these partitions, so it
	// cannot commit an old offset after the next owner's.
	m.committing.Lock()
	defer m.committing.Unlock()
	if ours {
		m.commit(ps)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range ps {
		if m.partitions[p.name] != p {
			continue // another call has given it up
		}
		delete(m.partitions, p.name)
		what := "inboxkafka: revoked"
		if !ours {
			what = "inboxkafka: lost"
		}
		m.log.Info(what, "topic", p.name.topic, "partition", p.name.id, "next_offset", p.low.next.offset)
	}
}

// await returns when no handler of the partition runs any more. When overdue is closed, a handler that respects its
// context has returned, so a handler that still runs is logged.
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
	case <-done: // both channels were ready
		return
	default:
	}
	began := time.Now()
	m.graceExceeded.Add(1)
	m.log.Warn("inboxkafka: a handler ignores the end of its context and holds a partition that must be given up: "+
		"make it return when ctx ends; until then the rebalance, or the end of Run, waits for it",
		"topic", p.name.topic, "partition", p.name.id, "grace", m.cfg.Grace)
	<-done
	m.log.Info("inboxkafka: the handler that ignored the end of its context has returned", "topic", p.name.topic,
		"partition", p.name.id,
		"after", (2*m.cfg.Grace + time.Since(began)).Round(time.Millisecond))
}

// isGroupError reports whether a commit failed because the group has rebalanced.
func isGroupError(err error) bool {
	for _, moved := range []error{kerr.RebalanceInProgress, kerr.IllegalGeneration, kerr.UnknownMemberID,
		kerr.FencedInstanceID, kerr.StaleMemberEpoch, kerr.FencedMemberEpoch} {
		if errors.Is(err, moved) {
			return true
		}
	}
	return false
}

// rejoinIfAssigned joins the group again if another member has claimed the partition in the database, but the group
// still assigns it to us. This happens if a member that was declared dead claims the partition late, after our
// assignment. Without a new assignment no member would read the partition.
func (p *partition) rejoinIfAssigned() {
	select {
	case <-p.m.ctx.Done():
	case <-time.After(2 * p.m.cfg.Grace):
		if p.m.partition(p.name) == p {
			p.m.fail(errRejoin)
		}
	}
}
