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

// At each assignment, the offsets in the consumer's database (inbox_offsets) are compared with those in Kafka. Kafka
// alone does not show that
//
//   - the database was restored to an earlier state. Then the group's offset is ahead of the database, and the messages
//     in between would never be applied (hazard restored-consumer-database).
//   - the topic was recreated. Brokers before Kafka 4.1 store offsets by the topic's name, so the offset belongs to
//     another log.
//   - another group reads the topic for the same consumer. Then each message is applied in only one of them (hazard
//     two-groups).
//
// The database commits the applied offset before Kafka gets it. So Kafka's offset is never ahead of the database, even
// after a crash between the two.

// claim is a change of a partition's row in the database.
type claim struct {
	from      *inbox.GroupPosition // nil: there was none
	to        inbox.GroupPosition
	recreated bool // the topic is another one than from's
}

// compareWithDatabase corrects the group's offsets by those of the database. It returns the changes for the database
// (none if its tables are of an older build), and the topics for which the database has a position.
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
		c := claim{from: rows[name], to: inbox.GroupPosition{Topic: topic, Partition: id, TopicID: ids[topic],
			Applied: -1,
			Next:    -1}}
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

// comparePartition returns the offset at which to begin in a partition, from the group's offset and the database's row.
// It also completes the claim.
func (m *member) comparePartition(c *claim, offset kgo.Offset, committed groupoffset.Mark) (kgo.Offset, error) {
	was, id := inbox.GroupPosition{Applied: -1, Next: -1}, c.to.TopicID
	if c.from != nil {
		was = *c.from
	}
	c.to.Group = m.cfg.Group
	if id == "" {
		c.to.TopicID = was.TopicID // the brokers gave no id
	}
	if was.Group != "" && was.Group != m.cfg.Group && was.Group != m.cfg.FormerGroup {
		return offset, m.otherGroup(was)
	}
	row := groupoffset.Row{Done: was.Done(), TopicID: was.TopicID}
	switch oldOffset, oldRow := groupoffset.AnotherTopic(row, committed, id); {
	case oldRow:
		return m.startOfRecreated(c, was)
	case oldOffset:
		offset = kgo.NewOffset().AtStart() // the committed offset belongs to the old topic of this name
	}
	if m.cfg.Mode == OffsetsInDatabase && was.Next >= 0 {
		c.to.Applied, c.to.Next = was.Applied, was.Next
		return kgo.NewOffset().At(was.Next).WithEpoch(-1), nil
	}
	at, done := offset.EpochOffset().Offset, row.Done
	c.to.Applied = max(done, at)
	switch {
	case done < 0 && at > 0 && committed.Ours && !m.cfg.AdoptOffsets:
		return offset, m.databaseHasNothing(c.to, at)
	case done < 0 || at == done:
	case at < 0:
		m.log.Info("inboxkafka: the group has no offset, and continues after the messages that the database has as "+
			"handled", "topic", was.Topic, "partition", was.Partition, "offset", done)
		return kgo.NewOffset().At(done).WithEpoch(-1), nil
	case groupoffset.Lost(row, at, committed, id) && !m.cfg.AdoptOffsets:
		return offset, m.databaseIsBehind(was, at, committed)
	}
	return offset, nil
}

// startOfRecreated returns the offset at which to begin in a partition whose row is of an older topic of this name.
func (m *member) startOfRecreated(c *claim, was inbox.GroupPosition) (kgo.Offset, error) {
	start := kgo.NewOffset().AtStart()
	if m.withoutIDs(was.Topic) && !m.cfg.AdoptOffsets {
		return start, cannotContinue(
			"topic %q was recreated: its id was %s and is now %s. The database has no message "+
				"ids of it, so messages that were copied from the old topic would be applied twice. To read the new "+
				"topic from its start: DELETE FROM %s WHERE consumer = '%s' AND kafka_topic = '%s'",
			was.Topic, was.TopicID, c.to.TopicID, m.cfg.Inbox.OffsetsTable(), m.cfg.Inbox.Consumer(), was.Topic)
	}
	m.log.Info("inboxkafka: the topic was recreated: the group begins at the start of the new one", "topic", was.Topic,
		"partition", was.Partition, "topic_id", c.to.TopicID, "former_topic_id", was.TopicID)
	c.recreated = true
	return start, nil
}

func (m *member) otherGroup(was inbox.GroupPosition) error {
	return cannotContinue(
		"consumer %q reads topic %q, partition %d in group %q, as %s says, but this is group %q. Each "+
			"message would be handled in only one of the groups. Two handlers need two consumer names (inbox.New). If "+
			"you renamed the group, stop the old one and set FormerGroup to %q",
		m.cfg.Inbox.Consumer(), was.Topic, was.Partition, was.Group, m.cfg.Inbox.OffsetsTable(), m.cfg.Group, was.Group)
}

// databaseIsBehind returns the error for a database that is behind Kafka's offset. It says how to continue.
func (m *member) databaseIsBehind(was inbox.GroupPosition, at int64, committed groupoffset.Mark) error {
	reset := m.groupsTool() + " " + groupoffset.Reset(m.cfg.Group, was.Topic, was.Partition, was.Done())
	why := "somebody moved the offset forward, or the database was restored to an earlier state"
	if committed.Ours {
		why = "the database was restored to an earlier state, or failed over to a copy that was behind"
	}
	err := cannotContinue(
		"topic %q, partition %d: the offset of group %q is %d, but the database has only the messages "+
			"below %d (%s): %s. The messages in between would never be applied. To apply them, stop the group and "+
			"run: %s (relay inbox doctor --kafka-brokers %s lists the commands for the partitions of all members). To "+
			"skip them, set AdoptOffsets once, or: UPDATE %s SET applied_offset = %d WHERE consumer = '%s' AND "+
			"kafka_topic = '%s' AND kafka_partition = %d",
		was.Topic, was.Partition, m.cfg.Group, at, was.Done(), m.cfg.Inbox.OffsetsTable(), why, reset, m.cfg.Brokers[0],
		m.cfg.Inbox.OffsetsTable(), at, m.cfg.Inbox.Consumer(), was.Topic, was.Partition)
	return aheadError{err, fmt.Sprintf("topic %q, partition %d: the offset is %d, but the database has only the "+
		"messages below %d: %s", was.Topic, was.Partition, at, was.Done(), reset)}
}

// databaseHasNothing returns the error for a database without a row of the partition, although the group's offset says
// that there was one.
func (m *member) databaseHasNothing(to inbox.GroupPosition, at int64) error {
	reset := fmt.Sprintf("%s --group %s --topic %s:%d --reset-offsets --to-earliest --execute", m.groupsTool(),
		m.cfg.Group, to.Topic, to.Partition)
	err := cannotContinue("topic %q, partition %d: the offset of group %q is %d, but the database has nothing of the "+
		"partition (%s): it was restored to a state before consumer %q began, or it is another database. The "+
		"messages below that offset would never be applied. To apply them, stop the group and run: %s. To skip "+
		"them, set AdoptOffsets once",
		to.Topic, to.Partition, m.cfg.Group, at, m.cfg.Inbox.OffsetsTable(), m.cfg.Inbox.Consumer(), reset)
	return aheadError{err, fmt.Sprintf("topic %q, partition %d: the offset is %d, but the database has nothing of "+
		"the partition: %s", to.Topic, to.Partition, at, reset)}
}

// writeClaims writes the claims that change a row. If a partition begins without a position, the messages before its
// begin count as handled.
func (m *member) writeClaims(ctx context.Context, claims map[partitionName]claim,
	offsets map[string]map[int32]kgo.Offset) error {
	for name, c := range claims {
		if at := offsets[name.topic][name.id].EpochOffset().Offset; c.to.Applied < 0 && at >= 0 {
			c.to.Applied = at
		}
		if c.recreated {
			c.to.Applied = max(c.to.Applied, 0) // the end of the log is not known yet, so no message counts as handled
		}
		if c.from != nil && *c.from == c.to {
			continue
		}
		switch err := m.cfg.Inbox.ClaimGroupPosition(ctx, m.cfg.DB, c.from, c.to); {
		case errors.Is(err, inbox.ErrNoRights):
			return cannotContinue("%w", err)
		case err != nil:
			return err
		}
	}
	return nil
}

// warnNoGroups logs once that the tables are of an older build.
func (m *member) warnNoGroups() {
	m.warnedNoGroups.Do(func() {
		m.log.Warn("inboxkafka: the database does not store the group's offsets, so the consumer cannot notice a "+
			"restored database, a recreated topic or a second group: run `relay migrate up --only inbox`, and grant "+
			"the rights of docs/tables.md",
			"table", m.cfg.Inbox.OffsetsTable())
	})
}

// aheadError says that Kafka's offset of a partition is ahead of the database: in a full text, and in a line for a
// list.
type aheadError struct {
	error
	line string
}

func (e aheadError) Unwrap() error { return e.error }

// mostNamed limits the partitions that one error names. After a restore it is usually all partitions of the topic,
// perhaps thousands.
const mostNamed = 20

// allAhead joins the errors of all partitions of an assignment, so that an operator can reset all offsets at once
// instead of one after each start. It is nil without errors.
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
		more = fmt.Sprintf("\nand %d more, which a later start names", rest)
	}
	return fmt.Errorf("%w\nThe same is true for:\n%s%s", ahead[0], strings.Join(lines, "\n"), more)
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

// groupsTool returns the beginning of a command line of Kafka's tool.
func (m *member) groupsTool() string {
	return "kafka-consumer-groups.sh --bootstrap-server " + m.cfg.Brokers[0]
}
