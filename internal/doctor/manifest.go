package doctor

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/postroom/postroom/internal/ops"
)

// What exactly-once asks of the cluster.
const (
	// Version 3 lets a producer go on after an error under a new epoch (KIP-360,
	// Kafka 2.5).
	oldestInitProducerID = 3
	// From transaction.version 2 on each transaction has an epoch of its own, so that a
	// late request of an earlier one is refused (KIP-890, Kafka 4.0).
	wantedTransactionVersion = 2
)

// manifestTopic is where a source's transactions say what they sent.
func manifestTopic(sourceID string) string { return "postroom.manifest." + sourceID }

// manifest looks at what exactly-once mode needs.
func manifest(f *Facts, found *findings) {
	if !f.ExactlyOnce {
		return
	}
	if c := f.Cluster; c != nil {
		switch {
		case c.InitProducerID < oldestInitProducerID:
			found.add(Problem, "exactly-once.broker", f.At, "the brokers are too old for exactly-once delivery", "the relay refuses to start in this mode: Kafka 2.5 or later is needed",
				f.kafkaTool("kafka-broker-api-versions.sh"))
		case c.TransactionVersion < wantedTransactionVersion:
			found.add(Warning, "exactly-once.version", f.At, fmt.Sprintf("the cluster's transaction.version is %d", c.TransactionVersion),
				"with version 2 (Kafka 4.0) the broker itself refuses a late request of a transaction that was aborted; without it there is a rare way to a hanging transaction",
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
		found.add(Note, "manifest.missing", subject, "there is no manifest topic yet", "the relay creates it when it starts; it needs the right to create topics of this name", f.run())
		return
	case t.Missing:
		found.add(Problem, "manifest.missing", subject, "the manifest topic is gone, and the source has been delivered exactly once",
			"what the last transactions sent cannot be told from what they did not: events may be sent twice", f.relay("status"), f.kafkaTool("kafka-topics.sh")+" --list")
		return
	case t.Denied:
		found.add(Problem, "topics.denied", subject, "the relay's user may not see the manifest topic", "the relay cannot start",
			f.kafkaTool("kafka-acls.sh")+" --add --allow-principal User:… --operation Read --operation Write --operation Create --operation Describe --operation DescribeConfigs --operation Delete --resource-pattern-type prefixed --topic postroom.manifest.")
		return
	case t.Err != nil:
		found.add(Problem, "topics.failed", subject, "it could not be described: "+short(t.Err.Error()), "the relay may not start", f.describeTopic(name))
		return
	}
	if n := len(t.Partitions); n != 1 {
		found.add(Problem, "manifest.partitions", subject, fmt.Sprintf("the manifest topic has %d partitions", n), "it must have one: the relay refuses to start. It is not this relay's topic, or someone changed it", f.describeTopic(name))
	}
	partitions(f, name, t, "what the last transactions sent cannot be told from what they did not: events may be sent twice", found)
	if t.Config == nil {
		return
	}
	var wrong, set []string
	for _, want := range []struct{ name, value string }{{"cleanup.policy", "delete"}, {"retention.ms", "-1"}, {"retention.bytes", "-1"}} {
		if has := t.Config[want.name]; has != want.value {
			wrong = append(wrong, fmt.Sprintf("%s is %s", want.name, has))
			set = append(set, want.name+"="+want.value)
		}
	}
	if wrong != nil {
		found.add(Problem, "manifest.settings", subject, strings.Join(wrong, ", "), "the manifest may lose records that a take-over needs: the relay refuses to start",
			f.kafkaTool("kafka-configs.sh")+" --alter --entity-type topics --entity-name "+ops.ShellWord(name)+" --add-config "+strings.Join(set, ","))
	}
	strict(f, name, t, found)
}

// strict: a manifest that is lost more easily than the events it names is worth nothing.
func strict(f *Facts, name string, t Topic, found *findings) {
	has, _ := strconv.Atoi(t.Config["min.insync.replicas"])
	for _, target := range f.topicNames() {
		other := f.Found[target]
		least, _ := strconv.Atoi(other.Config["min.insync.replicas"])
		if most(other) <= most(t) && least <= has {
			continue
		}
		found.add(Problem, "manifest.replicas", "topic "+name, fmt.Sprintf("it has %s and min.insync.replicas %d; topic %s has %d and %d", counted(int64(most(t)), "replica"), has, target, most(other), least),
			"it must be kept at least as safe as the events that it names", f.kafkaTool("kafka-configs.sh")+" --alter --entity-type topics --entity-name "+ops.ShellWord(name)+fmt.Sprintf(" --add-config min.insync.replicas=%d", max(has, least)),
			f.kafkaTool("kafka-reassign-partitions.sh")+" --reassignment-json-file replicas.json --execute")
		return
	}
}
