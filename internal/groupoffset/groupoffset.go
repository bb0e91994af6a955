// Package groupoffset compares a Kafka group's committed offset with what a consumer's database knows to be done. It
// holds no client: inboxkafka asks when partitions are assigned, and relay inbox doctor at any time.
package groupoffset

import (
	"fmt"
	"strings"
)

// What is committed beside each offset. Builds before groups were remembered wrote the first mark, and no topic's id;
// those that read it skip what has the second.
const (
	UnnotedMark = "postroom-inbox "
	NotedMark   = "postroom-inbox/2 "
	TopicMark   = " topic="
	NoIDsMark   = " ids=none"
)

// Mark is what a committed offset says of whom it is.
type Mark struct {
	Ours       bool   // a consumer's, which had noted it in its database first
	Unnoted    bool   // a consumer's of an older build
	Whose      string // its name and tables
	TopicID    string
	WithoutIDs bool
}

// ParseMark reads the metadata of a committed offset.
func ParseMark(metadata string) Mark {
	var m Mark
	m.Whose, m.WithoutIDs = strings.CutSuffix(metadata, NoIDsMark)
	if whose, ok := strings.CutPrefix(m.Whose, NotedMark); ok {
		m.Ours, m.Whose = true, whose
		if at := strings.LastIndex(whose, TopicMark); at >= 0 {
			m.Whose, m.TopicID = whose[:at], whose[at+len(TopicMark):]
		}
		return m
	}
	if whose, ok := strings.CutPrefix(m.Whose, UnnotedMark); ok {
		m.Unnoted, m.Whose = true, whose
		return m
	}
	return Mark{} // set by hand, or by another client
}

// Row is what a consumer's database knows of a partition.
type Row struct {
	Done    int64  // all messages below it are done; negative: not known
	TopicID string // of the topic that it is of; empty: not known
}

// AnotherTopic reports whether the committed offset or the row is of a topic that had the name before. id is that of
// the topic now; empty: the brokers have none.
func AnotherTopic(row Row, committed Mark, id string) (offset, known bool) {
	other := func(was string) bool { return was != "" && id != "" && was != id }
	return other(committed.TopicID), other(row.TopicID)
}

// Lost reports whether the group's offset is ahead of what the database knows, which is noted before an offset is
// committed: the database was restored, or the offset was set by hand, and what lies between would never be applied.
func Lost(row Row, at int64, committed Mark, id string) bool {
	offset, known := AnotherTopic(row, committed, id)
	return !offset && !known && row.Done >= 0 && at > row.Done && !committed.Unnoted
}

// Reset are the arguments of kafka-consumer-groups that set a group's offset.
func Reset(group, topic string, partition int32, to int64) string {
	return fmt.Sprintf("--group %s --topic %s:%d --reset-offsets --to-offset %d --execute", group, topic, partition, to)
}
