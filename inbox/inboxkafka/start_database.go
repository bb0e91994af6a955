package inboxkafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/groupoffset"
)

// What the consumer's database remembers of its group (inbox_offsets) is compared with what Kafka has whenever
// partitions are assigned, because Kafka alone does not tell that
//
//   - the database was restored to an earlier state: the group's offset is ahead of what it knows, and the messages
//     between would never be applied (hazard restored-consumer-database);
//   - the topic was made anew: the offset, which brokers before Kafka 4.1 keep by the topic's name, is that of another
//     log;
//   - another group reads the topic for the same consumer: each message is applied in one of them only (hazard
//     two-groups).
//
// The note of how far a partition has come is committed before the offset goes to Kafka. So Kafka's is never ahead
// of it, whoever dies between the two.

// claim is a partition's row in the database: as it was, and as it is to be.
type claim struct {
	from      *inbox.GroupPosition // nil: there was none
	to        inbox.GroupPosition
	recreated bool // the topic is another one than from's
}

// compareWithDatabase corrects offsets, which are the group's, by what the database remembers, and returns its claims,
// none if its tables are of an older build, and the topics that it has a position of.
func (m *member) compareWithDatabase(ctx context.Context, offsets map[string]map[int32]kgo.Offset,
	marks map[partitionName]groupoffset.Mark) (claims map[partitionName]claim, known map[string]bool, err error) {
	topics := topicsOf(offsets)
	ids, err := m.topicIDs(ctx, topics)
	if err != nil {
		return nil, nil, err
	}
	positions, kept, err := m.cfg.Inbox.GroupPositions(ctx, m.cfg.DB, topics)
	if err != nil {
		return nil, nil, err
	}
	if !kept {
		m.warnNoGroups()
	}
	rows := make(map[partitionName]*inbox.GroupPosition)
	known = make(map[string]bool)
	for i, row := range positions {
		known[row.Topic] = true
		rows[partitionName{row.Topic, row.Partition}] = &positions[i]
	}
	claims = make(map[partitionName]claim)
	var ahead []aheadError
	for _, name := range namesOf(offsets) {
		topic, id := name.topic, name.id
		c := claim{from: rows[name], to: inbox.GroupPosition{Topic: topic, Partition: id, TopicID: ids[topic], Applied: -1,
			Next: -1}}
		committed := marks[name]
		committed.Ours = committed.Ours && kept
		var lost aheadError
		switch offsets[topic][id], err = m.comparePartition(&c, offsets[topic][id], committed); {
		case errors.As(err, &lost):
			ahead = append(ahead, lost)
			continue
		case err != nil:
			return nil, nil, err
		}
		if p := m.partition(name); p != nil {
			p.setTopic(c.to.TopicID, kept)
		}
		if kept {
			claims[name] = c
		}
	}
	return claims, known, allAhead(ahead)
}

// comparePartition returns where to begin in a partition by the group's offset and the database's row, and completes
// the claim.
func (m *member) comparePartition(c *claim, offset kgo.Offset, committed groupoffset.Mark) (kgo.Offset, error) {
	c.to.Group = m.cfg.Group
	was, id := inbox.GroupPosition{Applied: -1, Next: -1}, c.to.TopicID
	if c.from != nil {
		was = *c.from
	}
	if id == "" {
		c.to.TopicID = was.TopicID // the brokers have no ids, or not now
	}
	if was.Group != "" && was.Group != m.cfg.Group && was.Group != m.cfg.FormerGroup {
		return offset, m.otherGroup(was)
	}
	row := groupoffset.Row{Done: was.Done(), TopicID: was.TopicID}
	oldOffset, oldRow := groupoffset.AnotherTopic(row, committed, id)
	if oldOffset {
		offset = kgo.NewOffset().AtStart() // what is committed is of the topic that had the name before
	}
	if oldRow {
		if m.withoutIDs(was.Topic) && !m.cfg.AdoptOffsets {
			return offset, refuse("topic %q was made anew, its id was %s and is %s, and no ids of messages are kept of it: if "+
				"what is in it was handled in the old one (it was copied from another cluster), it would be applied twice. To "+
				"read it from its start: DELETE FROM %s WHERE consumer = '%s' AND kafka_topic = '%s'",
				was.Topic, was.TopicID, id, m.cfg.Inbox.OffsetsTable(), m.cfg.Inbox.Consumer(), was.Topic)
		}
		m.log.Info("inboxkafka: the topic was made anew: the group begins at the start of the new one", "topic", was.Topic,
			"partition", was.Partition, "topic_id", id, "former_topic_id", was.TopicID)
		c.recreated = true
		return kgo.NewOffset().AtStart(), nil
	}
	at, done := offset.EpochOffset().Offset, row.Done
	if m.cfg.Mode == OffsetsInDatabase && was.Next >= 0 {
		c.to.Applied, c.to.Next = was.Applied, was.Next
		return kgo.NewOffset().At(was.Next).WithEpoch(-1), nil
	}
	c.to.Applied = max(done, at)
	switch {
	case done < 0 && at > 0 && committed.Ours && !m.cfg.AdoptOffsets:
		return offset, m.databaseHasNothing(c.to, at)
	case done < 0 || at == done:
	case at < 0:
		m.log.Info("inboxkafka: the group has no offset, and goes on behind what the database says is done", "topic",
			was.Topic, "partition", was.Partition, "offset", done)
		return kgo.NewOffset().At(done).WithEpoch(-1), nil
	case groupoffset.Lost(row, at, committed, id) && !m.cfg.AdoptOffsets:
		return offset, m.databaseIsBehind(was, at, committed)
	}
	return offset, nil
}

func (m *member) otherGroup(was inbox.GroupPosition) error {
	return refuse("consumer %q reads topic %q, partition %d in group %q, says %s, and this is group %q: each message is "+
		"handled in one of them, and would be a duplicate in the other. Two handlers need two names (inbox.New); if the "+
		"group has another name now, stop the old one and set FormerGroup to %q",
		m.cfg.Inbox.Consumer(), was.Topic, was.Partition, was.Group, m.cfg.Inbox.OffsetsTable(), m.cfg.Group, was.Group)
}

// databaseIsBehind says that the database knows less than Kafka's offset, and how to go on.
func (m *member) databaseIsBehind(was inbox.GroupPosition, at int64, committed groupoffset.Mark) error {
	reset := m.groupsTool() + " " + groupoffset.Reset(m.cfg.Group, was.Topic, was.Partition, was.Done())
	why := "it was set forward by hand, or the database was restored to an earlier state"
	if committed.Ours {
		why = "it was restored to an earlier state, or fails over to a copy that lags"
	}
	err := refuse("topic %q, partition %d: the offset of group %q is %d, and the database knows of the messages below %d "+
		"only (%s): %s. What lies between would never be applied. To have it applied, stop the group and type: %s (relay "+
		"inbox doctor --kafka-brokers %s lists the commands for the partitions of all members). To leave it out, set "+
		"AdoptOffsets once, or: UPDATE %s SET applied_offset = %d WHERE consumer = '%s' AND kafka_topic = '%s' AND "+
		"kafka_partition = %d",
		was.Topic, was.Partition, m.cfg.Group, at, was.Done(), m.cfg.Inbox.OffsetsTable(), why, reset, m.cfg.Brokers[0],
		m.cfg.Inbox.OffsetsTable(), at, m.cfg.Inbox.Consumer(), was.Topic, was.Partition)
	return aheadError{err, fmt.Sprintf("topic %q, partition %d: the offset is %d, the database knows of the messages "+
		"below %d only: %s", was.Topic, was.Partition, at, was.Done(), reset)}
}

// databaseHasNothing says that the database knows nothing of a partition of which a consumer had noted in its database
// what it did.
func (m *member) databaseHasNothing(to inbox.GroupPosition, at int64) error {
	reset := fmt.Sprintf("%s --group %s --topic %s:%d --reset-offsets --to-earliest --execute", m.groupsTool(),
		m.cfg.Group, to.Topic, to.Partition)
	err := refuse("topic %q, partition %d: the offset of group %q is %d, and the database knows nothing of the partition "+
		"(%s): it was restored to a state before consumer %q began, or is another one. What lies below that offset would "+
		"never be applied. To have it applied, stop the group and type: %s. To leave it out, set AdoptOffsets once",
		to.Topic, to.Partition, m.cfg.Group, at, m.cfg.Inbox.OffsetsTable(), m.cfg.Inbox.Consumer(), reset)
	return aheadError{err, fmt.Sprintf("topic %q, partition %d: the offset is %d, the database knows nothing of the "+
		"partition: %s", to.Topic, to.Partition, at, reset)}
}

// writeClaims writes the claims that change something. Where a partition begins without a position, what lies before is
// done.
func (m *member) writeClaims(ctx context.Context, claims map[partitionName]claim,
	offsets map[string]map[int32]kgo.Offset) error {
	for name, c := range claims {
		if at := offsets[name.topic][name.id].EpochOffset().Offset; c.to.Applied < 0 && at >= 0 {
			c.to.Applied = at
		}
		if c.recreated {
			c.to.Applied = max(c.to.Applied, 0) // the end of the log is not known now: no message is done
		}
		if c.from != nil && *c.from == c.to {
			continue
		}
		switch err := m.cfg.Inbox.ClaimGroupPosition(ctx, m.cfg.DB, c.from, c.to); {
		case errors.Is(err, inbox.ErrNoRights):
			return refuse("%w", err)
		case err != nil:
			return err
		}
	}
	return nil
}

// warnNoGroups says, once, that the tables are of an older build.
func (m *member) warnNoGroups() {
	m.warnedNoGroups.Do(func() {
		m.log.Warn("inboxkafka: the database remembers nothing of the group: a restored database, a topic that was made "+
			"anew and a second group are not noticed; run `relay migrate up`, and grant the rights of docs/tables.md",
			"table", m.cfg.Inbox.OffsetsTable())
	})
}

// aheadError says that Kafka's offset of a partition is ahead of what the database knows, in full and in a line of a
// list.
type aheadError struct {
	error
	line string
}

func (e aheadError) Unwrap() error { return e.error }

// mostNamed bounds the partitions that one error names. After a restore it is usually all of the topic's, which may be
// thousands.
const mostNamed = 20

// allAhead is one error about all partitions of an assignment, so that an operator sets all offsets back at once,
// and not one after each start. It is nil without any.
func allAhead(ahead []aheadError) error {
	if len(ahead) < 2 {
		for _, one := range ahead {
			return one
		}
		return nil
	}
	named := ahead[:min(len(ahead), mostNamed)]
	lines := make([]string, len(named)-1)
	for i, other := range named[1:] {
		lines[i] = other.line
	}
	more := ""
	if rest := len(ahead) - len(named); rest > 0 {
		more = fmt.Sprintf("\nand %d more, which are named at a later start", rest)
	}
	return fmt.Errorf("%w\nand likewise:\n%s%s", ahead[0], strings.Join(lines, "\n"), more)
}

// namesOf returns the partitions in order, so that an error about several of them is the same each time.
func namesOf(offsets map[string]map[int32]kgo.Offset) (names []partitionName) {
	for topic, partitions := range offsets {
		for id := range partitions {
			names = append(names, partitionName{topic, id})
		}
	}
	slices.SortFunc(names, compareNames)
	return names
}

// groupsTool is the start of a command line of Kafka's own.
func (m *member) groupsTool() string {
	return "kafka-consumer-groups.sh --bootstrap-server " + m.cfg.Brokers[0]
}
