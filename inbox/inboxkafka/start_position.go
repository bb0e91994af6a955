package inboxkafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
)

// adjustOffsets is called before the first fetch of partitions, with the offsets that the group has committed. After an
// error franz-go starts the session again.
func (m *member) adjustOffsets(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (
	map[string]map[int32]kgo.Offset, error) {
	<-m.connected
	err := m.startPositions(ctx, offsets)
	switch {
	case err == nil:
		return offsets, nil
	case errors.Is(err, errCannotContinue):
		m.fail(err)
	case ctx.Err() == nil:
		m.log.Warn("inboxkafka: cannot find the start position of the assigned partitions, trying again", "error", err)
	}
	return nil, err
}

// startPositions decides where to read each partition, and puts the result into offsets.
func (m *member) startPositions(ctx context.Context, offsets map[string]map[int32]kgo.Offset) error {
	marks, err := m.committedMarks(ctx)
	if err != nil {
		return err
	}
	claims, known, err := m.compareWithDatabase(ctx, offsets, marks)
	if err != nil {
		return err
	}
	began, err := m.startWithoutOffset(ctx, offsets, known)
	if err != nil {
		return err
	}
	if err := m.writeClaims(ctx, claims, offsets); err != nil {
		return err
	}
	if m.cfg.Mode == OffsetsInDatabase {
		if err := m.fromDatabase(ctx, offsets); err != nil {
			return err
		}
	}
	for _, name := range began {
		if p, at := m.partition(name), offsets[name.topic][name.id].EpochOffset().Offset; p != nil && at >= 0 {
			p.begin(at)
		}
	}
	m.wakeCommitter()
	return nil
}

// errCannotContinue marks errors that a retry cannot solve.
var errCannotContinue = errors.New("cannot continue")

func cannotContinue(format string, args ...any) error {
	return fmt.Errorf("inboxkafka: %w: %w", errCannotContinue, fmt.Errorf(format, args...))
}

// fromDatabase claims the assigned partitions, and replaces the group's offsets by those of the database.
func (m *member) fromDatabase(ctx context.Context, offsets map[string]map[int32]kgo.Offset) error {
	var withoutPosition, idle []partitionName // without a position in the database
	for topic, ids := range offsets {
		for id := range ids {
			claim, err := m.claimPartition(ctx, partitionName{topic, id})
			if err != nil {
				return err
			}
			next, known := claim.Next()
			switch {
			case known:
				offsets[topic][id] = kgo.NewOffset().At(next).WithEpoch(-1)
			case !m.withoutIDs(topic):
				idle = append(idle, partitionName{topic, id})
			case !m.cfg.AdoptOffsets:
				withoutPosition = append(withoutPosition, partitionName{topic, id})
			}
		}
	}
	if err := m.recordIdle(ctx, idle, offsets); err != nil {
		return err
	}
	if err := m.checkIDsNotNeeded(ctx, withoutPosition); err != nil {
		return err
	}
	return m.checkWithinLog(ctx, offsets)
}

// claimPartition takes the next epoch of a partition in the database. From then on no other member can commit. While
// the database cannot be reached, it tries again until the group's session ends.
func (m *member) claimPartition(ctx context.Context, name partitionName) (*inbox.PartitionClaim, error) {
	p := m.partition(name)
	if p == nil {
		return nil, fmt.Errorf("inboxkafka: topic %q, partition %d: its start position was requested before it was "+
			"assigned", name.topic, name.id)
	}
	for tries := 1; ; tries++ {
		claim, err := m.cfg.Inbox.ClaimPartition(ctx, m.cfg.DB, name.topic, name.id)
		if err == nil {
			p.mu.Lock()
			p.claim = claim
			p.mu.Unlock()
			return claim, nil
		}
		if tries == 1 && ctx.Err() == nil {
			m.log.Warn("inboxkafka: cannot claim the partition in the database, trying again", "topic", name.topic,
				"partition", name.id, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("inboxkafka: topic %q, partition %d: %w", name.topic, name.id, err)
		case <-time.After(claimRetryPause):
		}
	}
}

const claimRetryPause = 500 * time.Millisecond

// checkWithinLog fails if a position of the database is outside the log. Kafka would continue at one end of the log,
// without an error.
func (m *member) checkWithinLog(ctx context.Context, offsets map[string]map[int32]kgo.Offset) error {
	admin := kadm.NewClient(m.client)
	starts, err := admin.ListStartOffsets(ctx, topicsOf(offsets)...)
	if err != nil {
		return fmt.Errorf("inboxkafka: read the start offsets of the topics: %w", err)
	}
	ends, err := admin.ListEndOffsets(ctx, topicsOf(offsets)...)
	if err != nil {
		return fmt.Errorf("inboxkafka: read the end offsets of the topics: %w", err)
	}
	for topic, ids := range offsets {
		for id, offset := range ids {
			start, ok := starts.Lookup(topic, id)
			end, also := ends.Lookup(topic, id)
			if err := errors.Join(start.Err, end.Err); err != nil || !ok || !also {
				return fmt.Errorf("inboxkafka: topic %q, partition %d: read the ends of the log: %w", topic, id, err)
			}
			at := offset.EpochOffset().Offset
			if at < 0 || at >= start.Offset && at <= end.Offset {
				continue
			}
			to := start.Offset
			switch {
			case m.cfg.ResetOffset == "":
				return cannotContinue(
					"topic %q, partition %d: the position in the database is offset %d, which is outside "+
						"the log (%d to %d): retention deleted unread records, or the topic was recreated; set "+
						"ResetOffset to say where to continue",
					topic, id, at, start.Offset, end.Offset)
			case m.cfg.ResetOffset == Latest:
				to = end.Offset
			}
			if to < at {
				// For the inbox, messages below the position count as handled.
				return cannotContinue(
					"topic %q, partition %d: the position in the database is offset %d, but the log ends "+
						"at %d: the topic was recreated; to read it from its start, delete the rows of the old one: "+
						"DELETE FROM %s WHERE consumer = '%s' AND kafka_topic = '%s'",
					topic, id, at, end.Offset, m.cfg.Inbox.OffsetsTable(), m.cfg.Inbox.Consumer(), topic)
			}
			offsets[topic][id] = kgo.NewOffset().At(to)
			m.log.Warn("inboxkafka: the position was outside the log and was reset", "topic", topic, "partition", id,
				"position", at, "reset_to", to)
		}
	}
	return nil
}

func topicsOf(offsets map[string]map[int32]kgo.Offset) []string {
	topics := make([]string, 0, len(offsets))
	for topic := range offsets {
		topics = append(topics, topic)
	}
	return topics
}
