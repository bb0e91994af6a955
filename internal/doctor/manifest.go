package doctor

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/postroom/postroom/internal/ops"
)

// What exactly-once mode needs of the cluster.
const (
	// From version 3 on a producer can continue after an error, with a new epoch (KIP-360, Kafka 2.5).
	oldestInitProducerID = 3
	// From transaction.version 2 on each transaction has its own epoch, so that the broker rejects late requests of
	// an earlier transaction (KIP-890, Kafka 4.0).
	wantedTransactionVersion = 2
)

// manifestTopic is the topic in which a source's transactions record what they sent.
func manifestTopic(sourceID string) string { return "postroom.manifest." + sourceID }

// manifest checks what exactly-once mode needs.
func manifest(f *Facts, found *findings) {
	if !f.ExactlyOnce {
		return
	}
	if c := f.Cluster; c != nil {
		switch {
		case c.InitProducerID < oldestInitProducerID:
			found.add(Problem, "exactly-once.broker", f.At, "the brokers are too old for exactly-once delivery",
				"the relay does not start in this mode. It needs Kafka 2.5 or later",
				f.kafkaTool("kafka-broker-api-versions.sh"))
		case c.TransactionVersion < wantedTransactionVersion:
			found.add(Warning, "exactly-once.version", f.At, fmt.Sprintf("the cluster's transaction.version is %d",
				c.TransactionVersion),
				"with version 2 (Kafka 4.0) the broker rejects late requests of an aborted transaction. Without it, "+
					"such a request may rarely leave a hanging transaction",
				f.kafkaTool("kafka-features.sh")+" upgrade --feature transaction.version=2")
		}
	}
	if f.Lease == nil || f.Lease.SourceID == "" {
		return
	}
	name := manifestTopic(f.Lease.SourceID)
	if t, asked := f.Found[name]; asked {
		manifestSettings(f, name, t, found)
	}
}

func manifestSettings(f *Facts, name string, t Topic, found *findings) {
	subject := "topic " + name
	switch {
	case t.Missing && f.Lease.Position == "" && f.Lease.Mode != "exactly-once":
		found.add(Note, "manifest.missing", subject, "the manifest topic does not exist yet", "the relay creates it "+
			"when it starts. It needs the right to create topics of this name", f.run())
		return
	case t.Missing:
		found.add(Problem, "manifest.missing", subject, "the manifest topic is missing, although the source was "+
			"delivered in exactly-once mode",
			"nothing records which events the last transactions sent, so events may be sent twice", f.relay("status"),
			f.kafkaTool("kafka-topics.sh")+" --list")
		return
	case t.Denied:
		found.add(Problem, "topics.denied", subject, "the relay's user has no right to read the manifest topic",
			"the relay cannot start",
			f.kafkaTool("kafka-acls.sh")+" --add --allow-principal User:… --operation Read --operation Write "+
				"--operation Create --operation Describe --operation DescribeConfigs --operation Delete "+
				"--resource-pattern-type prefixed --topic postroom.manifest.")
		return
	case t.Err != nil:
		found.add(Problem, "topics.failed", subject, "it could not be described: "+short(t.Err.Error()),
			"the relay may not start", f.describeTopic(name))
		return
	}
	if n := len(t.Partitions); n != 1 {
		found.add(Problem, "manifest.partitions", subject, fmt.Sprintf("the manifest topic has %d partitions", n),
			"it must have one, so the relay does not start. It is not this relay's topic, or someone changed it",
			f.describeTopic(name))
	}
	partitions(f, name, t, "nothing records which events the last transactions sent, so events may be sent twice",
		found)
	if t.Config == nil {
		return
	}
	var wrong, set []string
	for _, want := range []struct{ name, value string }{{"cleanup.policy", "delete"}, {"retention.ms", "-1"},
		{"retention.bytes", "-1"}} {
		if has := t.Config[want.name]; has != want.value {
			wrong = append(wrong, fmt.Sprintf("%s is %s", want.name, has))
			set = append(set, want.name+"="+want.value)
		}
	}
	if wrong != nil {
		found.add(Problem, "manifest.settings", subject, strings.Join(wrong, ", "), "the manifest may lose records "+
			"that a takeover needs, so the relay does not start",
			f.kafkaTool("kafka-configs.sh")+" --alter --entity-type topics --entity-name "+ops.ShellWord(name)+
				" --add-config "+strings.Join(set, ","))
	}
	strict(f, name, t, found)
}

// strict finds a manifest topic that is less safe than the topics of the events. A takeover needs the manifest to
// know which events were sent, so it must not be lost when the events are kept.
func strict(f *Facts, name string, t Topic, found *findings) {
	has, _ := strconv.Atoi(t.Config["min.insync.replicas"])
	for _, target := range f.topicNames() {
		other := f.Found[target]
		least, _ := strconv.Atoi(other.Config["min.insync.replicas"])
		if most(other) <= most(t) && least <= has {
			continue
		}
		found.add(Problem, "manifest.replicas", "topic "+name,
			fmt.Sprintf("it has %s and min.insync.replicas %d, but topic %s has %d and %d", counted(int64(most(t)),
				"replica"), has, target, most(other), least),
			"it must be at least as safe as the events that it names", f.kafkaTool("kafka-configs.sh")+
				" --alter --entity-type topics --entity-name "+
				ops.ShellWord(name)+fmt.Sprintf(" --add-config min.insync.replicas=%d", max(has, least)),
			f.kafkaTool("kafka-reassign-partitions.sh")+" --reassignment-json-file replicas.json --execute")
		return
	}
}
