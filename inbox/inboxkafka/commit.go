package inboxkafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// How often offsets go to the group. Behind the database they are only ever late, which
// costs the inbox a few duplicates after a crash; with OffsetsInDatabase they are for
// those who watch the lag.
const (
	commitEvery    = 100 * time.Millisecond
	commitLagEvery = 5 * time.Second
	commitTimeout  = 5 * time.Second
)

func (m *member) wakeCommitter() {
	select {
	case m.dirty <- struct{}{}:
	default: // it is going to look
	}
}

// commitLoop commits what all partitions have finished, beside their work.
func (m *member) commitLoop() {
	every := commitEvery
	if m.cfg.Mode == OffsetsInDatabase {
		every = commitLagEvery
	}
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.dirty:
		}
		m.committing.Lock()
		told := m.commit(m.all())
		m.committing.Unlock()
		if told && !m.alone {
			m.checkAlone()
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

// checkAlone looks, once the group has an offset of ours, for those of another inbox. One that joined
// while there were none found nothing to refuse, on neither side; after both have committed, at least
// the later one finds the other's.
func (m *member) checkAlone() {
	ctx, cancel := context.WithTimeout(m.ctx, commitTimeout)
	defer cancel()
	switch err := m.checkFingerprint(ctx); {
	case err == nil:
		m.alone = true
	case errors.Is(err, errRefused):
		m.fail(err)
	default: // after the next commit
	}
}

// commit tells the group how far partitions have come, and reports whether it told all there
// was. m.committing is held. A failure loses nothing: the next commit says more.
func (m *member) commit(ps []*partition) bool {
	offsets := make(map[string]map[int32]kgo.EpochOffset)
	sent := make(map[*partition]position)
	for _, p := range ps {
		p.mu.Lock()
		next, news := p.low.next, p.low.moved && p.low.next != p.committed
		p.mu.Unlock()
		if !news {
			continue
		}
		if offsets[p.name.topic] == nil {
			offsets[p.name.topic] = make(map[int32]kgo.EpochOffset)
		}
		offsets[p.name.topic][p.name.id] = kgo.EpochOffset{Epoch: next.epoch, Offset: next.offset}
		sent[p] = next
	}
	if len(sent) == 0 {
		return false
	}
	// Not m.ctx: the last commit is made when it has ended.
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	ctx = kgo.PreCommitFnContext(ctx, m.addFingerprints)
	failed := make(map[partitionName]bool)
	var first error
	m.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, r *kmsg.OffsetCommitResponse, err error) {
		if first = err; err != nil {
			return
		}
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					failed[partitionName{t.Topic, p.Partition}], first = true, err
				}
			}
		}
	})
	m.tellCommit(first)
	if first != nil && len(failed) == 0 {
		m.wakeCommitter()
		return false
	}
	for p, next := range sent {
		if failed[p.name] {
			m.wakeCommitter()
			continue
		}
		p.mu.Lock()
		p.committed = next
		p.mu.Unlock()
	}
	return first == nil
}

// tellCommit logs an error of a commit, once for each change. m.committing is held.
func (m *member) tellCommit(err error) {
	switch {
	case err == nil && m.commitError != "":
		m.log.Info("inboxkafka: offsets are committed again")
		m.commitError = ""
	case err != nil && !isGroupError(err) && m.commitError != err.Error():
		m.commitError = err.Error()
		m.log.Warn("inboxkafka: offsets were not committed, the next commit says them again", "error", err)
	}
}

// addFingerprints says beside each offset for whom it says that messages are done. With
// another consumer name or other tables it would say it of work that was never done there.
func (m *member) addFingerprints(r *kmsg.OffsetCommitRequest) error {
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			metadata := m.fingerprint()
			if m.withoutIDs(r.Topics[i].Topic) {
				metadata += noIDsMark
			}
			r.Topics[i].Partitions[j].Metadata = &metadata
		}
	}
	return nil
}

const (
	fingerprintMark = "postroom-inbox "
	noIDsMark       = " ids=none"
)

func (m *member) fingerprint() string {
	return fmt.Sprintf("%sconsumer=%q tables=%s", fingerprintMark, m.cfg.Inbox.Consumer(), m.cfg.Inbox.Tables())
}

// withoutIDs reports whether the topic's position alone tells what was handled.
func (m *member) withoutIDs(topic string) bool {
	return m.cfg.Mode == OffsetsInDatabase && slices.Contains(m.cfg.ExactlyOnceTopics, topic)
}

// checkFingerprint refuses a group that has committed for another consumer or tables, in any partition of our
// topics: those that another member has now may be ours next.
func (m *member) checkFingerprint(ctx context.Context) error {
	if m.cfg.AdoptOffsets {
		return nil
	}
	committed, err := kadm.NewClient(m.client).FetchOffsets(ctx, m.cfg.Group)
	if err != nil {
		return fmt.Errorf("inboxkafka: read the offsets of group %q: %w", m.cfg.Group, err)
	}
	for _, at := range committed.Sorted() {
		if !slices.Contains(m.cfg.Topics, at.Topic) {
			continue
		}
		theirs, withoutIDs := strings.CutSuffix(at.Metadata, noIDsMark)
		switch ours := m.fingerprint(); {
		case !strings.HasPrefix(theirs, fingerprintMark):
		case theirs != ours:
			return refuse("the offset of group %q in topic %q, partition %d was committed for %s, and this is %s: two inboxes must not share a group; give each a group of its own, or set AdoptOffsets if this one takes over",
				m.cfg.Group, at.Topic, at.Partition, strings.TrimPrefix(theirs, fingerprintMark), strings.TrimPrefix(ours, fingerprintMark))
		case withoutIDs && m.cfg.Mode != OffsetsInDatabase:
			return refuse("topic %q was consumed with %s and without ids, and the group's offset lags behind the database: with %s what lies between would be applied twice; stay with that mode, or set AdoptOffsets once the lag is nothing",
				at.Topic, OffsetsInDatabase, m.cfg.Mode)
		}
	}
	return nil
}
