package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/doctor/facts"
	"github.com/postroom/postroom/internal/kafkatopic"
	"github.com/postroom/postroom/internal/ops"
	relaystore "github.com/postroom/postroom/internal/store/relay"
)

// overhead is the largest number of bytes of a record besides the event's columns: the relay's headers, lengths, and
// the batch around it.
const overhead = 700

// topics finds what is wrong with the topics of events.
func topics(f *Facts, found *findings) {
	for _, name := range f.topicNames() {
		t, asked := f.Found[name]
		if !asked {
			continue
		}
		topic(f, name, t, found)
	}
}

// topicNames returns the topics in use, those used recently, and those configured, sorted. The result must not depend
// on whether an event waits at this moment.
func (f *Facts) topicNames() []string {
	names := slices.Clone(f.Topics)
	names = append(names, f.lately()...)
	for _, t := range f.Used {
		names = append(names, t.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// lately returns the topics that had events in the last days.
func (f *Facts) lately() (names []string) {
	if f.Lease == nil || len(f.Lease.Topics) == 0 {
		return nil
	}
	since := f.Now().Add(-relaystore.UsedTopicsFor).UTC().Format(time.DateOnly)
	for name, day := range f.Lease.Topics {
		if day >= since {
			names = append(names, name)
		}
	}
	return names
}

// needed reports whether the topic is configured, or events for it are in the tables.
func (f *Facts) needed(name string) bool {
	return slices.Contains(f.Topics, name) || slices.ContainsFunc(f.Used,
		func(t facts.Topic) bool { return t.Name == name })
}

// use returns what the tables have for a topic.
func (f *Facts) use(name string) facts.Topic {
	for _, t := range f.Used {
		if t.Name == name {
			return t
		}
	}
	return facts.Topic{Name: name}
}

func topic(f *Facts, name string, t Topic, found *findings) {
	subject := "topic " + name
	switch {
	case t.Denied:
		found.add(Problem, "topics.denied", subject, "the relay's user has no right to describe it",
			"its events are rejected",
			f.kafkaTool("kafka-acls.sh")+
				" --add --allow-principal User:… --operation Describe --operation Write --topic "+ops.ShellWord(name))
		return
	case t.Missing:
		missing(f, name, found)
		return
	case t.Err != nil:
		found.add(Problem, "topics.failed", subject, "it could not be described: "+short(t.Err.Error()),
			"its events may not be delivered", f.describeTopic(name))
		return
	}
	partitions(f, name, t, "delivered events are lost, because they are no longer in the table", found)
	if t.Config == nil {
		if t.ConfigDenied {
			found.add(Note, "topics.config", subject, "the relay's user has no right to read its settings",
				"doctor did not check whether it keeps events safely and accepts large events",
				f.kafkaTool("kafka-acls.sh")+" --add --allow-principal User:… --operation DescribeConfigs --topic "+
					ops.ShellWord(name))
		} else if t.ConfigErr != nil {
			found.add(Warning, "topics.config", subject, "its settings could not be read: "+short(t.ConfigErr.Error()),
				"doctor did not check whether it keeps events safely and accepts large events", f.describeTopic(name))
		}
		return
	}
	configured(f, name, t, found)
}

func missing(f *Facts, name string, found *findings) {
	subject, use := "topic "+name, f.use(name)
	create := f.kafkaTool("kafka-topics.sh") + " --create --topic " + ops.ShellWord(name) + " --partitions 6 " +
		f.replication()
	switch {
	case !f.needed(name):
		return // it was deleted, or never existed
	case !kafkatopic.Valid(name):
		found.add(Problem, "topics.missing", subject, "Kafka cannot have a topic of this name: "+kafkatopic.Rule,
			"its events are rejected", f.relay("parked list"))
	case f.CreateTopics:
		found.add(Note, "topics.missing", subject, "it does not exist",
			"the relay creates it for the first event, with the broker's defaults", create)
	default:
		what := "it does not exist"
		if use.Waiting > 0 {
			what += fmt.Sprintf(", and at least %s %s for it", counted(use.Waiting, "event"), verb(use.Waiting, "waits",
				"wait"))
		}
		found.add(Problem, "topics.missing", subject, what,
			"its events are rejected and parked. Create the topic, then retry them", create, f.relay("parked list"))
	}
}

// replication returns the options for a new topic: as many replicas as the cluster has brokers, three at most.
func (f *Facts) replication() string {
	replicas := 3
	if f.Cluster != nil && f.Cluster.Brokers > 0 {
		replicas = min(replicas, f.Cluster.Brokers)
	}
	if replicas == 1 {
		return "--replication-factor 1"
	}
	return fmt.Sprintf("--replication-factor %d --config min.insync.replicas=2", replicas)
}

func (f *Facts) describeTopic(name string) string {
	return f.kafkaTool("kafka-topics.sh") + " --describe --topic " + ops.ShellWord(name)
}

// partitions checks leaders and replicas. lost says what the loss of a broker may mean.
func partitions(f *Facts, name string, t Topic, lost string, found *findings) {
	subject := "topic " + name
	var leaderless []string
	inSync, replicas, behind := -1, -1, 0
	for _, p := range t.Partitions {
		if p.Leader < 0 {
			leaderless = append(leaderless, strconv.Itoa(int(p.ID)))
			continue
		}
		if inSync < 0 || p.InSync < inSync {
			inSync = p.InSync
		}
		if replicas < 0 || p.Replicas < replicas {
			replicas = p.Replicas
		}
		if p.InSync < p.Replicas {
			behind++
		}
	}
	if len(leaderless) > 0 {
		found.add(Problem, "topics.leader", subject, fmt.Sprintf("%s of %d without a leader: %s",
			counted(int64(len(leaderless)), "partition"), len(t.Partitions), strings.Join(leaderless, ", ")),
			"what belongs there waits until a broker that has the data is back", f.describeTopic(name))
	}
	if inSync < 0 {
		return
	}
	least, _ := strconv.Atoi(t.Config["min.insync.replicas"])
	switch {
	case least > inSync:
		found.add(Problem, "topics.replicas", subject, fmt.Sprintf("a partition has %s, and min.insync.replicas is %d",
			counted(int64(inSync), "in-sync replica"), least),
			"the broker takes no events for it until enough brokers are back; they wait in the outbox",
			f.describeTopic(name))
	case inSync < 2 && replicas < 2 && f.Cluster != nil && f.Cluster.Brokers == 1:
		found.add(Problem, "topics.replicas", subject,
			"it has partitions with a single replica: the cluster has one broker",
			"if its disk is lost, "+lost+". Run three brokers; for development, accept it", f.again()+
				" --ignore topics.replicas")
	case inSync < 2 && replicas < 2:
		found.add(Problem, "topics.replicas", subject, "it has partitions with a single replica",
			"if that broker's disk is lost, "+lost, f.describeTopic(name),
			f.kafkaTool("kafka-reassign-partitions.sh")+" --reassignment-json-file replicas.json --execute")
	case inSync < 2:
		found.add(Problem, "topics.replicas", subject,
			fmt.Sprintf("%s of %d %s fewer in-sync replicas than configured, and one has a single one",
				counted(int64(behind), "partition"), len(t.Partitions), verb(int64(behind), "has", "have")),
			"if that broker is lost, "+lost, f.describeTopic(name))
	}
}

// configured checks the topic's settings.
func configured(f *Facts, name string, t Topic, found *findings) {
	subject := "topic " + name
	alter := func(setting string) string { return f.alterTopic(name, setting) }
	if least, err := strconv.Atoi(t.Config["min.insync.replicas"]); err == nil && least < 2 && most(t) >= 2 {
		found.add(Warning, "topics.min-isr", subject, fmt.Sprintf("min.insync.replicas is %d", least),
			"with one replica left the broker still accepts events, and loses them if this replica is lost",
			alter("min.insync.replicas=2"))
	}
	sizes(f, name, t, found)
	if !f.ExactlyOnce && strings.Contains(t.Config["cleanup.policy"], "compact") {
		found.add(Warning, "topics.compacted", subject, "it is compacted, but delivery is at-least-once",
			"after a takeover the relay may send an older value of a key again, after the newest one, and compaction "+
				"keeps it. Use exactly-once mode, or compare versions when reading", f.runExactlyOnce())
	}
	if yes(t.Config["unclean.leader.election.enable"]) {
		found.add(Warning, "topics.unclean", subject, "unclean.leader.election.enable is true",
			"a replica without the newest delivered events may become the leader. Then they are lost",
			alter("unclean.leader.election.enable=false"))
	}
}

// sizes compares the limits of the topic and of the relay with each other, and with the largest waiting event.
func sizes(f *Facts, name string, t Topic, found *findings) {
	limit, err := strconv.ParseInt(t.Config["max.message.bytes"], 10, 64)
	if err != nil {
		return
	}
	subject, largest := "topic "+name, f.use(name).Largest
	alter := func(bytes int64) string { return f.alterTopic(name, fmt.Sprintf("max.message.bytes=%d", bytes)) }
	if largest > 0 && largest+overhead > min(limit, f.MaxRecordBytes) {
		wanted := (largest + overhead + 1<<20) >> 20 << 20
		var do []string
		if limit < wanted {
			do = append(do, alter(wanted))
		}
		if f.MaxRecordBytes < wanted {
			do = append(do, f.runWith("kafka-max-message-bytes", strconv.FormatInt(wanted, 10)))
		}
		found.add(Problem, "topics.size", subject,
			fmt.Sprintf("an event of %s bytes waits; max.message.bytes is %s, and the relay sends up to %s",
				number(largest), number(limit), number(f.MaxRecordBytes)),
			"the event is rejected, because it must fit both limits", do...)
		return
	}
	if limit < f.MaxRecordBytes {
		found.add(Warning, "topics.size", subject, fmt.Sprintf("max.message.bytes is %s, but the relay sends up to %s",
			number(limit), number(f.MaxRecordBytes)),
			"the broker rejects larger events, and the relay parks them", alter(f.MaxRecordBytes))
	}
}

// alterTopic returns the command that changes a setting of a topic.
func (f *Facts) alterTopic(name, setting string) string {
	return f.kafkaTool("kafka-configs.sh") + " --alter --entity-type topics --entity-name " + ops.ShellWord(name) +
		" --add-config " + setting
}

// most returns the largest number of replicas of a partition.
func most(t Topic) int {
	n := 0
	for _, p := range t.Partitions {
		n = max(n, p.Replicas)
	}
	return n
}
