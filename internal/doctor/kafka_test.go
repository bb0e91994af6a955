package doctor_test

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/internal/doctor/doctorkafka"
	store "github.com/postroom/postroom/internal/store/relay"
)

// broken is a topic on the real broker. A clinic has events for it.
type broken struct {
	*clinic
	name  string
	admin *kadm.Client
}

func newBroken(t *testing.T) *broken {
	t.Helper()
	c := onSQLite(t)
	b := &broken{clinic: c, name: dbtest.Topic(t, 2)}
	c.connect(strings.Split(dbtest.Kafka(t), ","))
	client, err := kgo.NewClient(kgo.SeedBrokers(c.source.Brokers...))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	b.admin = kadm.NewClient(client)
	c.exec("INSERT INTO outbox_events (topic, payload) VALUES ('" + b.name + "', zeroblob(4000))")
	return b
}

// connect makes the clinic use these brokers.
func (c *clinic) connect(brokers []string, opts ...kgo.Opt) {
	c.t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(brokers...), kgo.RequestRetries(1))...)
	require.NoError(c.t, err)
	c.t.Cleanup(client.Close)
	c.source.Brokers, c.source.Sink = brokers, doctorkafka.New(client)
}

func (b *broken) set(name, value string) {
	b.t.Helper()
	_, err := b.admin.AlterTopicConfigs(b.t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name,
		Value: &value}}, b.name)
	require.NoError(b.t, err)
}

// await repeats the examination until Kafka shows the change.
func (b *broken) await(check string) doctor.Finding {
	b.t.Helper()
	return b.eventually(check, func(f doctor.Finding) bool { return f.Subject == "topic "+b.name })
}

func TestOnARealKafkaEachFaultOfATopicIsNamed(t *testing.T) {
	b := newBroken(t)
	single := b.await("topics.replicas")
	requireFinding(t, single, doctor.Problem, "topic "+b.name,
		"relay doctor --config relay.yaml --ignore topics.replicas")
	require.Contains(t, single.What, "single replica", "the test's broker is alone")
	require.Len(t, b.examine().worse(), 1)

	b.set("max.message.bytes", "2000")
	large := b.eventually("topics.size", atWorst)
	requireFinding(t, large, doctor.Problem, "topic "+b.name, "--add-config max.message.bytes=1048576")
	require.Equal(t, "an event of 4,002 bytes waits; max.message.bytes is 2,000, and the relay sends up to "+
		"1,048,588", large.What)
	require.Len(t, large.Do, 1, "the relay's own limit need not change")
	b.set("max.message.bytes", "500000")
	small := b.eventually("topics.size", func(f doctor.Finding) bool { return f.Severity == doctor.Warning })
	requireFinding(t, small, doctor.Warning, "topic "+b.name, "--add-config max.message.bytes=1048588")
	require.Contains(t, small.What, "the relay sends up to 1,048,588")

	b.set("cleanup.policy", "compact")
	requireFinding(t, b.await("topics.compacted"), doctor.Warning, "topic "+b.name, "--mode exactly-once")
	b.set("unclean.leader.election.enable", "true")
	requireFinding(t, b.await("topics.unclean"), doctor.Warning, "topic "+b.name,
		"unclean.leader.election.enable=false")
	b.set("min.insync.replicas", "2")
	refuses := b.eventually("topics.replicas", func(f doctor.Finding) bool {
		return strings.Contains(f.What,
			"min.insync.replicas is 2")
	})
	require.Equal(t, doctor.Problem, refuses.Severity)

	gone := strings.ReplaceAll(b.name, "postroom", "nowhere")
	b.exec("INSERT INTO outbox_events (topic) VALUES ('" + gone + "')")
	missing := b.examine().only(t, "topics.missing")
	requireFinding(t, missing, doctor.Problem, "topic "+gone, "kafka-topics.sh --bootstrap-server "+b.source.Brokers[0]+
		" --create --topic "+gone)
	require.Contains(t, missing.What, "at least 1 event waits for it")
	topics, err := b.admin.ListTopics(t.Context())
	require.NoError(t, err)
	require.False(t, topics.Has(gone), "asking has not made it")
}

func TestOnARealKafkaAManifestThatWasMadeWrongIsNamed(t *testing.T) {
	b := newBroken(t)
	require.NoError(t, b.relay.Note(t.Context(), b.lease, store.Mode("exactly-once")))
	b.source.ExactlyOnce = true
	name := "postroom.manifest." + b.lease.SourceID.String()
	requireFinding(t, b.examine().only(t, "manifest.missing"), doctor.Problem, "topic "+name, "relay status")

	week := "604800000"
	_, err := b.admin.CreateTopic(t.Context(), 2, 1, map[string]*string{"retention.ms": &week}, name)
	require.NoError(t, err)
	defer func() {
		_, err := b.admin.DeleteTopic(context.Background(), name)
		require.NoError(t, err)
	}()
	settings := b.eventually("manifest.settings", atWorst)
	requireFinding(t, settings, doctor.Problem, "topic "+name, "--entity-name "+name+" --add-config retention.ms=-1")
	requireFinding(t, b.examine().only(t, "manifest.partitions"), doctor.Problem, "topic "+name, "--describe --topic "+
		name)
	require.Empty(t, b.examine().all("exactly-once.broker"))
	require.Empty(t, b.examine().all("exactly-once.version"), "the test's broker has transaction.version 2")
}

// Three brokers replicate each other's data: doctor finds nothing.
func TestNothingIsWrongWithAHealthyCluster(t *testing.T) {
	c := onSQLite(t)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	c.connect(cluster.ListenAddrs())
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	two := "2"
	_, err = kadm.NewClient(client).CreateTopic(t.Context(), 3, 3, map[string]*string{"min.insync.replicas": &two},
		"orders")
	require.NoError(t, err)
	c.insert()
	c.source.Topics = []string{"orders"}
	require.Empty(t, c.examine().worse())

	// One broker fails, so some partitions have no leader, and others have a replica less.
	cluster.ControlKey(int16(kmsg.Metadata), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		asked := request.(*kmsg.MetadataRequest)
		if len(asked.Topics) == 0 {
			return nil, nil, false
		}
		response := request.ResponseKind().(*kmsg.MetadataResponse)
		for i, address := range cluster.ListenAddrs() {
			response.Brokers = append(response.Brokers, brokerAt(t, int32(i), address))
		}
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic = kmsg.StringPtr("orders")
		for i := range int32(3) {
			p := kmsg.NewMetadataResponseTopicPartition()
			p.Partition, p.Leader, p.Replicas, p.ISR = i, i, []int32{0, 1, 2}, []int32{0, 1, 2}
			switch i {
			case 1:
				p.Leader, p.ISR, p.ErrorCode = -1, []int32{}, 5 // LEADER_NOT_AVAILABLE
			case 2:
				p.ISR = []int32{2}
			}
			topic.Partitions = append(topic.Partitions, p)
		}
		response.Topics = append(response.Topics, topic)
		return response, nil, true
	})
	c.connect(cluster.ListenAddrs()) // a new client, because the old one would answer from its cache
	found := c.examine()
	requireFinding(t, found.only(t, "topics.leader"), doctor.Problem, "topic orders", "--describe --topic orders")
	require.Contains(t, found.only(t, "topics.leader").What, "1 partition of 3 without a leader: 1")
	require.Contains(t, found.only(t, "topics.replicas").What, "1 in-sync replica")
}

// This user may describe one topic, and the settings of none.
func TestWhatTheUserMayNotSeeInKafkaIsNamed(t *testing.T) {
	c := onSQLite(t)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(1,
		"orders", "closed"),
		kfake.User("PLAIN", "relay", "secret", kfake.ACL{
			Resource: kmsg.ACLResourceTypeTopic, Name: "orders", Pattern: kmsg.ACLResourcePatternTypeLiteral,
			Operation: kmsg.ACLOperationDescribe, Allow: true,
		}))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	c.connect(cluster.ListenAddrs(), kgo.SASL(plain.Auth{User: "relay", Pass: "secret"}.AsMechanism()))
	c.source.Topics = []string{"orders", "closed"}
	found := c.examine()
	requireFinding(t, found.only(t, "topics.denied"), doctor.Problem, "topic closed",
		"--operation Describe --operation Write --topic closed")
	requireFinding(t, found.only(t, "topics.config"), doctor.Note, "topic orders",
		"--operation DescribeConfigs --topic orders")
}

func brokerAt(t *testing.T, id int32, address string) kmsg.MetadataResponseBroker {
	host, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	n, err := strconv.ParseInt(port, 10, 32)
	require.NoError(t, err)
	b := kmsg.NewMetadataResponseBroker()
	b.NodeID, b.Host, b.Port = id, host, int32(n)
	return b
}
