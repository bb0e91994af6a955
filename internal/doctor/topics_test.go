package doctor_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/internal/doctor/facts"
)

// withTopic returns healthy facts with a topic for which events wait.
func withTopic(t doctor.Topic) *doctor.Facts {
	f := healthyFacts()
	f.Used = []facts.Topic{{Name: "orders", Waiting: 3, Largest: 1000}}
	f.Found = map[string]doctor.Topic{"orders": t}
	return f
}

func TestATopicThatKafkaCannotHaveIsNamed(t *testing.T) {
	c := onSQLite(t)
	c.exec("INSERT INTO outbox_events (topic) VALUES ('two words')")
	missing := c.examine().only(t, "topics.missing")
	requireFinding(t, missing, doctor.Problem, "topic two words", "relay parked list")
	require.Contains(t, missing.What, "cannot have")
	require.NotContains(t, c.source.Sink.(*fakeKafka).asked, "two words")
}

func TestATopicWithoutALeaderIsNamed(t *testing.T) {
	topic := goodTopic()
	topic.Partitions[1].Leader, topic.Partitions[1].InSync = -1, 0
	leader := findings(withTopic(topic).Check()).only(t, "topics.leader")
	requireFinding(t, leader, doctor.Problem, "topic orders",
		"kafka-topics.sh --bootstrap-server k:9092 --describe --topic orders")
	require.Equal(t, "1 partition of 2 without a leader: 1", leader.What)
}

func TestTooFewReplicasAreNamed(t *testing.T) {
	topic := goodTopic()
	topic.Partitions[0].InSync = 1
	f := findings(withTopic(topic).Check()).only(t, "topics.replicas")
	require.Contains(t, f.What, "a partition has 1 in-sync replica, and min.insync.replicas is 2")
	require.Contains(t, f.Why, "takes no events for it until enough brokers are back; they wait in the outbox")
	topic.Config["min.insync.replicas"] = "1"
	found := findings(withTopic(topic).Check())
	requireFinding(t, found.only(t, "topics.replicas"), doctor.Problem, "topic orders", "--describe --topic orders")
	requireFinding(t, found.only(t, "topics.min-isr"), doctor.Warning, "topic orders",
		"kafka-configs.sh --bootstrap-server k:9092 --alter --entity-type topics --entity-name orders --add-config "+
			"min.insync.replicas=2")
}

// A command that this cluster rejects does not help.
func TestCommandsAskNoMoreReplicasThanThereAreBrokers(t *testing.T) {
	for brokers, want := range map[int]string{
		0: "--replication-factor 3 --config min.insync.replicas=2", // not known
		1: "--replication-factor 1", 2: "--replication-factor 2 --config min.insync.replicas=2",
		5: "--replication-factor 3 --config min.insync.replicas=2",
	} {
		f := withTopic(doctor.Topic{Missing: true})
		f.Cluster = &doctor.Cluster{Brokers: brokers}
		do := findings(f.Check()).only(t, "topics.missing").Do
		require.Regexp(t, " --partitions 6 "+want+"$", do[0], "%d brokers", brokers)
	}
	single := goodTopic()
	single.Partitions = []doctor.Partition{{Replicas: 1, InSync: 1}}
	single.Config["min.insync.replicas"] = "1"
	f := withTopic(single)
	f.Cluster = &doctor.Cluster{Brokers: 1}
	alone := findings(f.Check()).only(t, "topics.replicas")
	requireFinding(t, alone, doctor.Problem, "topic orders", "relay doctor --ignore topics.replicas")
	require.Len(t, alone.Do, 1, "no file that nobody has")
	require.Contains(t, alone.What, "the cluster has one broker")
	f.Cluster.Brokers = 3
	require.Contains(t, findings(f.Check()).only(t, "topics.replicas").Do[1], "kafka-reassign-partitions.sh")
}

// An event has to fit into the topic's limit and the relay's own.
func TestAnEventThatIsTooLargeIsNamedWithEveryLimitInItsWay(t *testing.T) {
	const topicsLimit, relaysLimit = "kafka-configs.sh --bootstrap-server k:9092 --alter --entity-type topics " +
		"--entity-name orders --add-config max.message.bytes=2097152",
		"relay run --kafka-max-message-bytes 2097152"
	for _, test := range []struct {
		topic string
		relay int64
		do    []string
	}{
		{"1048588", 1_048_588, []string{topicsLimit, relaysLimit}},
		{"1048588", 4_000_000, []string{topicsLimit}},
		{"4000000", 1_048_588, []string{relaysLimit}},
	} {
		topic := goodTopic()
		topic.Config["max.message.bytes"] = test.topic
		f := withTopic(topic)
		f.Used[0].Largest, f.MaxRecordBytes = 1_500_000, test.relay
		f.RunFlags = []string{fmt.Sprint(" --kafka-max-message-bytes ", test.relay)}
		found := findings(f.Check()).only(t, "topics.size")
		require.Equal(t, doctor.Problem, found.Severity)
		require.Equal(t, test.do, found.Do, "the topic takes %s, the relay sends %d", test.topic, test.relay)
	}
}

// The findings about a topic must not depend on whether events for it wait at this moment.
func TestATopicIsJudgedAlsoWhileNothingWaitsForIt(t *testing.T) {
	topic := goodTopic()
	topic.Config["unclean.leader.election.enable"] = "true"
	f := withTopic(topic)
	f.Used = nil
	require.Empty(t, findings(f.Check()).all("topics.unclean"), "nobody has heard of it")
	today := time.Now().UTC()
	f.Now = time.Now
	f.Lease = &facts.Lease{}
	f.Lease.Topics = map[string]string{"orders": today.AddDate(0, 0, -6).Format("2006-01-02"),
		"gone": today.Format("2006-01-02")}
	f.Found["gone"] = doctor.Topic{Missing: true}
	require.Equal(t, "topic orders", findings(f.Check()).only(t, "topics.unclean").Subject)
	require.Empty(t, findings(f.Check()).all("topics.missing"), "nothing needs the one that was removed")
	f.Lease.Topics["orders"] = today.AddDate(0, 0, -8).Format("2006-01-02")
	require.Empty(t, findings(f.Check()).all("topics.unclean"), "that was long ago")
}

func TestATopicThatMayNotBeSeenIsNamed(t *testing.T) {
	requireFinding(t, findings(withTopic(doctor.Topic{Denied: true}).Check()).only(t, "topics.denied"), doctor.Problem,
		"topic orders", "--operation Describe --operation Write --topic orders")
	failed := findings(withTopic(doctor.Topic{Err: errors.New("out of order")}).Check()).only(t, "topics.failed")
	requireFinding(t, failed, doctor.Problem, "topic orders", "--describe --topic orders")
	require.Contains(t, failed.What, "out of order")
}

func TestSettingsThatMayNotBeSeenAreANote(t *testing.T) {
	topic := goodTopic()
	topic.Config, topic.ConfigDenied, topic.ConfigErr = nil, true, errors.New("denied")
	requireFinding(t, findings(withTopic(topic).Check()).only(t, "topics.config"), doctor.Note, "topic orders",
		"--operation DescribeConfigs --topic orders")
	topic.ConfigDenied = false
	requireFinding(t, findings(withTopic(topic).Check()).only(t, "topics.config"), doctor.Warning, "topic orders",
		"--describe")
}

func TestACompactedTopicIsAWarningUnderAtLeastOnceAlone(t *testing.T) {
	topic := goodTopic()
	topic.Config["cleanup.policy"] = "compact,delete"
	f := withTopic(topic)
	requireFinding(t, findings(f.Check()).only(t, "topics.compacted"), doctor.Warning, "topic orders",
		"relay run --mode exactly-once")
	f.RunFlags = []string{" --mode at-least-once", " --mode-of-another x", " --archive=true", " --mode=at-least-once"}
	requireFinding(t, findings(f.Check()).only(t, "topics.compacted"), doctor.Warning, "topic orders",
		"relay run --mode-of-another x --archive=true --mode exactly-once")
	f.ExactlyOnce = true
	require.Empty(t, findings(f.Check()).all("topics.compacted"))
}

func TestATopicThatTheRelayWillCreateIsANote(t *testing.T) {
	f := withTopic(doctor.Topic{Missing: true})
	f.CreateTopics = true
	require.Equal(t, doctor.Note, findings(f.Check()).only(t, "topics.missing").Severity)
}

// exactlyOnce returns healthy facts about a source in exactly-once mode.
func exactlyOnce(manifest doctor.Topic) *doctor.Facts {
	f := withTopic(goodTopic())
	f.ExactlyOnce = true
	f.Lease = &facts.Lease{Source: "default", SourceID: "abc", Mode: "exactly-once", Owner: "o", Epoch: 4,
		Expires: true, Left: 5e9, TTL: 5e9}
	f.Cluster = &doctor.Cluster{Brokers: 3, InitProducerID: 5, TransactionVersion: 2}
	f.Found["postroom.manifest.abc"] = manifest
	return f
}

func goodManifest() doctor.Topic {
	t := goodTopic()
	t.Partitions = t.Partitions[:1]
	t.Config["retention.ms"], t.Config["retention.bytes"] = "-1", "-1"
	return t
}

func TestAManifestAsItShouldBeIsFine(t *testing.T) {
	require.Empty(t, findings(exactlyOnce(goodManifest()).Check()).worse())
}

func TestAManifestThatMayLoseRecordsIsTold(t *testing.T) {
	manifest := goodManifest()
	manifest.Config["cleanup.policy"], manifest.Config["retention.ms"] = "compact", "604800000"
	settings := findings(exactlyOnce(manifest).Check()).only(t, "manifest.settings")
	requireFinding(t, settings, doctor.Problem, "topic postroom.manifest.abc",
		"kafka-configs.sh --bootstrap-server k:9092 --alter --entity-type topics --entity-name postroom.manifest.abc "+
			"--add-config cleanup.policy=delete,retention.ms=-1")
	require.Equal(t, "cleanup.policy is compact, retention.ms is 604800000", settings.What)
}

func TestAManifestWithoutItsShapeIsTold(t *testing.T) {
	manifest := goodManifest()
	manifest.Partitions = goodTopic().Partitions
	requireFinding(t, findings(exactlyOnce(manifest).Check()).only(t, "manifest.partitions"), doctor.Problem,
		"topic postroom.manifest.abc", "--describe")
	manifest = goodManifest()
	manifest.Config["min.insync.replicas"] = "1"
	replicas := findings(exactlyOnce(manifest).Check()).only(t, "manifest.replicas")
	requireFinding(t, replicas, doctor.Problem, "topic postroom.manifest.abc",
		"--entity-name postroom.manifest.abc --add-config min.insync.replicas=2")
	require.Contains(t, replicas.What, "topic orders has 3 and 2")
}

func TestAManifestThatIsGoneIsAProblemOnceThereWasOne(t *testing.T) {
	f := exactlyOnce(doctor.Topic{Missing: true})
	requireFinding(t, findings(f.Check()).only(t, "manifest.missing"), doctor.Problem, "topic postroom.manifest.abc",
		"kafka-topics.sh --bootstrap-server k:9092 --list")
	f.Lease.Mode = ""
	requireFinding(t, findings(f.Check()).only(t, "manifest.missing"), doctor.Note, "topic postroom.manifest.abc",
		"relay run")
	denied := exactlyOnce(doctor.Topic{Denied: true})
	requireFinding(t, findings(denied.Check()).only(t, "topics.denied"), doctor.Problem, "topic postroom.manifest.abc",
		"--topic postroom.manifest.")
}

func TestBrokersThatAreTooOldForExactlyOnceAreTold(t *testing.T) {
	f := exactlyOnce(goodManifest())
	f.Cluster.TransactionVersion = 1
	requireFinding(t, findings(f.Check()).only(t, "exactly-once.version"), doctor.Warning, "kafka at k:9092",
		"kafka-features.sh --bootstrap-server k:9092 upgrade --feature transaction.version=2")
	f.Cluster.InitProducerID = 2
	requireFinding(t, findings(f.Check()).only(t, "exactly-once.broker"), doctor.Problem, "kafka at k:9092",
		"kafka-broker-api-versions.sh")
	f.ExactlyOnce = false
	f.Lease.Mode = "at-least-once"
	require.Empty(t, findings(f.Check()).worse())
}
