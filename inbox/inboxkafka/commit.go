package inboxkafka

import (
	"context"
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
		m.commit(m.all())
		m.committing.Unlock()
		pause := time.NewTimer(every)
		select {
		case <-m.ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

// commit tells the group how far partitions have come. m.committing is held. A failure
// loses nothing: the next commit says more.
func (m *member) commit(ps []*partition) {
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
		return
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
	if first != nil && !isGroupError(first) {
		m.log.Warn("inboxkafka: offsets were not committed, the next commit says them again", "error", first)
	}
	if first != nil && len(failed) == 0 {
		m.wakeCommitter()
		return
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

// checkFingerprint refuses offsets that were committed for another consumer or tables.
func (m *member) checkFingerprint(ctx context.Context, offsets map[string]map[int32]kgo.Offset) error {
	if m.cfg.AdoptOffsets {
		return nil
	}
	committed, err := kadm.NewClient(m.client).FetchOffsets(ctx, m.cfg.Group)
	if err != nil {
		return fmt.Errorf("inboxkafka: read the offsets of group %q: %w", m.cfg.Group, err)
	}
	ours := m.fingerprint()
	for topic, ids := range offsets {
		for id := range ids {
			at, ok := committed.Lookup(topic, id)
			theirs, withoutIDs := strings.CutSuffix(at.Metadata, noIDsMark)
			switch {
			case !ok || !strings.HasPrefix(theirs, fingerprintMark):
			case theirs != ours:
				return refuse("the offset of group %q in topic %q, partition %d was committed for %s, and this is %s: two inboxes must not share a group; give each a group of its own, or set AdoptOffsets if this one takes over",
					m.cfg.Group, topic, id, strings.TrimPrefix(theirs, fingerprintMark), strings.TrimPrefix(ours, fingerprintMark))
			case withoutIDs && m.cfg.Mode != OffsetsInDatabase:
				return refuse("topic %q was consumed with %s and without ids, and the group's offset lags behind the database: with %s what lies between would be applied twice; stay with that mode, or set AdoptOffsets once the lag is nothing",
					topic, OffsetsInDatabase, m.cfg.Mode)
			}
		}
	}
	return nil
}
