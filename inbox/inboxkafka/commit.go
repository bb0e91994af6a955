package inboxkafka

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// How often offsets are committed to the group. They may be behind the database, which only means some duplicates after
// a crash. With OffsetsInDatabase they are needed only to watch the lag.
const (
	commitEvery    = 100 * time.Millisecond
	commitLagEvery = 5 * time.Second
	commitTimeout  = 5 * time.Second
)

func (m *member) wakeCommitter() {
	select {
	case m.commitSignal <- struct{}{}:
	default: // a signal is already waiting
	}
}

// commitLoop commits the offsets of all partitions, while handlers run.
func (m *member) commitLoop() {
	every := commitEvery
	if m.cfg.Mode == OffsetsInDatabase {
		every = commitLagEvery
	}
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.commitSignal:
		}
		m.committing.Lock()
		committed := m.commit(m.all())
		m.committing.Unlock()
		if committed && !m.onlyInbox {
			m.checkOnlyInbox()
		}
		pause := time.NewTimer(every)
		select {
		case <-m.ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

// checkOnlyInbox looks for offsets of another inbox in the group, after our first commit. If two inboxes join a new
// group at the same time, neither finds an offset of the other one at its start. After both have committed, at least
// the later one finds it here.
func (m *member) checkOnlyInbox() {
	ctx, cancel := context.WithTimeout(m.ctx, commitTimeout)
	defer cancel()
	switch _, err := m.committedMarks(ctx); {
	case err == nil:
		m.onlyInbox = true
	case errors.Is(err, errCannotContinue):
		m.fail(err)
	default: // tried again after the next commit
	}
}

// commit commits the offsets of partitions to the group, and reports whether it committed all of them. m.committing is
// held. A failure loses nothing, because the next commit includes these offsets.
func (m *member) commit(ps []*partition) bool {
	sent := make(map[*partition]position)
	for _, p := range ps {
		p.mu.Lock()
		next, news := p.low.next, p.low.moved && p.low.next != p.committed
		p.mu.Unlock()
		if news && !p.recreated {
			sent[p] = next
		}
	}
	if len(sent) == 0 {
		return false
	}
	// Not m.ctx, because the last commit runs after m.ctx has ended.
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	if err := m.recordApplied(ctx, sent); err != nil {
		m.logCommitError(err)
		m.wakeCommitter()
	}
	if len(sent) == 0 {
		return false
	}
	failed, first := m.sendOffsets(ctx, sent)
	m.logCommitError(first)
	if first != nil && len(failed) == 0 {
		m.wakeCommitter()
		return false
	}
	for p, next := range sent {
		if err := failed[p.name]; err != nil {
			if isUnknownTopic(err) {
				p.markUnverified()
			}
			m.wakeCommitter()
			continue
		}
		p.mu.Lock()
		p.committed = next
		p.mu.Unlock()
	}
	return first == nil
}

// sendOffsets commits offsets to Kafka. failed has the partitions that Kafka rejected, and first is the first error. If
// first is set and failed is empty, the whole request failed.
func (m *member) sendOffsets(
	ctx context.Context, sent map[*partition]position,
) (failed map[partitionName]error, first error) {
	offsets := make(map[string]map[int32]kgo.EpochOffset)
	for p, next := range sent {
		if offsets[p.name.topic] == nil {
			offsets[p.name.topic] = make(map[int32]kgo.EpochOffset)
		}
		offsets[p.name.topic][p.name.id] = kgo.EpochOffset{Epoch: next.epoch, Offset: next.offset}
	}
	ctx = kgo.PreCommitFnContext(ctx, m.addMetadata)
	failed = make(map[partitionName]error)
	m.client.CommitOffsetsSync(ctx, offsets, func(
		_ *kgo.Client, _ *kmsg.OffsetCommitRequest, r *kmsg.OffsetCommitResponse, err error) {
		if first = err; err != nil {
			return
		}
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					failed[partitionName{t.Topic, p.Partition}], first = err, err
				}
			}
		}
	})
	return failed, first
}

// logCommitError logs an error of a commit, once for each change. m.committing is held.
func (m *member) logCommitError(err error) {
	switch {
	case err == nil && m.commitError != "":
		m.log.Info("inboxkafka: offsets are committed again")
		m.commitError = ""
	case err != nil && !isGroupError(err) && m.commitError != err.Error():
		m.commitError = err.Error()
		m.log.Warn("inboxkafka: offsets could not be committed; the next commit includes them", "error", err)
	}
}
