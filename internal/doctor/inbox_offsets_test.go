package doctor_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/internal/groupoffset"
)

// Doctor finds exactly what Run rejects at an assignment. inboxkafka's TestARestoredDatabaseLosesNoEffects
// does the same on real servers.
func TestAGroupThatIsAheadOfTheDatabaseIsFound(t *testing.T) {
	const row = "INSERT INTO inbox_offsets (consumer, kafka_topic, kafka_partition, epoch, kafka_group, topic_id, " +
		"applied_offset) VALUES ('billing', 'orders', 3, 0, 'invoices', 'id', 40)"
	at := func(offset int64, metadata string) doctor.GroupOffset {
		return doctor.GroupOffset{Group: "invoices", Topic: "orders", Partition: 3, At: offset,
			Mark: groupoffset.ParseMark(metadata)}
	}
	ours := groupoffset.NotedMark + "consumer=billing" + groupoffset.TopicMark
	for name, c := range map[string]struct {
		offset doctor.GroupOffset
		then   string // at the time of the query to Kafka
		topic  string // the topic's current id
		found  bool
	}{
		"ahead":             {at(45, ours+"id"), "", "id", true},
		"set by hand":       {at(45, ""), "", "id", true},
		"as far":            {at(40, ours+"id"), "", "id", false},
		"behind":            {at(30, ours+"id"), "", "id", false},
		"without an offset": {at(-1, ""), "", "id", false},
		"by a build that notes nothing": {at(45, groupoffset.UnnotedMark+"consumer=billing"), "", "id",
			false},
		"in a topic that was made anew": {at(45, ours+"id"), "", "another", false},
		"of a consumer that went on meanwhile": {at(45, ours+"id"), "UPDATE inbox_offsets SET applied_offset = 45",
			"id", false},
		"where the database keeps the position": {at(45, ours+"id"), "UPDATE inbox_offsets SET next_offset = 40",
			"id", false},
		"where the database knows no progress": {at(45, ours+"id"), "UPDATE inbox_offsets SET applied_offset = NULL",
			"id", false},
		"in a partition that nothing is known of": {doctor.GroupOffset{Group: "invoices", Topic: "orders", Partition: 4,
			At: 45}, "", "id", false},
	} {
		t.Run(name, func(t *testing.T) {
			cl := onSQLite(t)
			cl.exec(row)
			cl.source.Sink = &fakeKafka{groups: []doctor.GroupOffset{c.offset},
				topics: map[string]doctor.Topic{"orders": {ID: c.topic}}, onAsk: func() {
					if c.then != "" {
						cl.exec(c.then)
					}
				}}
			found := cl.examineInbox(0)
			if !c.found {
				require.Empty(t, found)
				return
			}
			f := found.only(t, "inbox.offsets")
			requireFinding(t, f, doctor.Problem, "billing orders",
				"kafka-consumer-groups.sh --bootstrap-server k:9092 --group invoices --topic orders:3 "+
					"--reset-offsets --to-offset 40 --execute")
			require.Contains(t, f.What, "by 5 offsets in 1 partition (3)")
		})
	}
	t.Run("without brokers", func(t *testing.T) {
		cl := onSQLite(t)
		cl.source.Sink, cl.source.Brokers = nil, nil
		require.Empty(t, cl.examineInbox(0), "there is nothing to ask for")
		cl.exec(row)
		f := cl.examineInbox(0).only(t, "look.skipped")
		requireFinding(t, f, doctor.Note, "the groups' offsets in Kafka",
			"relay inbox doctor --config relay.yaml --kafka-brokers HOST:PORT")
	})
	t.Run("when Kafka does not answer", func(t *testing.T) {
		cl := onSQLite(t)
		cl.exec(row)
		cl.source.Sink = &fakeKafka{err: errors.New("connection reset")}
		found := cl.examineInbox(0)
		require.Len(t, found, 1)
		f := found.only(t, "sink.unreachable")
		requireFinding(t, f, doctor.Problem, "kafka at k:9092",
			"kafka-broker-api-versions.sh --bootstrap-server k:9092")
		require.Equal(t, "connection reset", f.What)
		require.Contains(t, f.Why, "Check the address")
	})
	t.Run("when Kafka does not answer, and no group is known", func(t *testing.T) {
		cl := onSQLite(t)
		cl.source.Sink, cl.source.SinkErr = nil, errors.New("no such host")
		require.Equal(t, "no such host", cl.examineInbox(0).only(t, "sink.unreachable").What)
	})
	t.Run("when Kafka does not tell the offsets", func(t *testing.T) {
		cl := onSQLite(t)
		cl.exec(row)
		cl.source.Sink = &fakeKafka{groupsErr: errors.New("not allowed")}
		f := cl.examineInbox(0).only(t, "look.failed")
		requireFinding(t, f, doctor.Warning, "the groups' offsets in Kafka", "relay inbox status --config relay.yaml")
		require.Contains(t, f.What, "the groups' offsets in Kafka could not be checked: not allowed")
	})
}
