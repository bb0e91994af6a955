//go:build unix

package relaykafka_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/kafkatest"
)

// The tests make outages of a real Kafka of their own. Whatever happens to the brokers, every event arrives
// once, in the order of its key, because the producer is kept through the outage (hazard delivery-timeout).
// The log has one line when an outage begins, and one when it ends.
//
// One cluster is used for all scenarios, because its start takes longer than most of them.
func TestOutagesOfARealKafka(t *testing.T) {
	cluster := kafkatest.Start(t, kafkatest.Options{Nodes: 2, Secure: true, Settings: map[string]string{
		"listener.name.secure.scram-sha-256.connections.max.reauth.ms": "3000",
	}})
	t.Run("brokers die, and come back", func(t *testing.T) { brokersDie(t, cluster) })
	t.Run("while the brokers are up", func(t *testing.T) {
		for name, scenario := range map[string]func(*testing.T, *kafkatest.Cluster){
			"credentials expire, and are good again":    credentialsExpire,
			"a topic is deleted and created again":      topicCreatedAgain,
			"a topic is created after its first event":  topicCreatedLate,
			"a topic is forbidden, and allowed later":   topicForbidden,
			"a topic's limit is lowered in mid-traffic": limitLowered,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				scenario(t, cluster)
			})
		}
	})
}

// leftOnly waits until everything that was written is delivered, except the events of one of two partitions.
func (s *source) leftOnly(topic string, partition int) {
	s.t.Helper()
	var last int64
	row := s.db.DB.QueryRowContext(context.Background(), "SELECT MAX(id) FROM outbox_events WHERE topic = ?", topic)
	require.NoError(s.t, row.Scan(&last))
	chooser := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
	for i := range keysEach {
		key := fmt.Appendf(nil, "k%d", i)
		if chooser.Partition(&kgo.Record{Key: key}, 2) == partition {
			continue
		}
		s.until("nothing of key "+string(key)+" waits", func() bool {
			n := 0
			row := s.db.DB.QueryRowContext(context.Background(),
				"SELECT COUNT(*) FROM outbox_events WHERE topic = ? AND event_key = ? AND id <= ?", topic, key, last)
			require.NoError(s.t, row.Scan(&n))
			return n == 0
		})
	}
}

// First the broker of one partition fails, and with it the second replica of another topic. Then the last
// broker fails. Each source waits for what it needs.
func brokersDie(t *testing.T, cluster *kafkatest.Cluster) {
	const lease = 6 * time.Second
	gone := startSource(t, cluster, "", lease)
	gone.topic("gone", nil, []int32{1})
	leaderless := startSource(t, cluster, "", time.Minute)
	leaderless.topic("leaderless", nil, []int32{1}, []int32{2})
	short := startSource(t, cluster, "", time.Minute)
	short.topic("short", map[string]string{"min.insync.replicas": "2"}, []int32{1, 2})
	sources := map[string]*source{"gone": gone, "leaderless": leaderless, "short": short}
	var stops []func()
	for topic, s := range sources {
		s.write(topic, 100)
		s.drained(topic)
		stops = append(stops, s.keepWriting(topic))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*kafkatest.StartTimeout)
	defer cancel()
	defer func() { require.NoError(t, cluster.StartAll(ctx)) }() // for the other scenarios

	require.NoError(t, cluster.Node(2).Kill())
	// At first the relay knows only that the broker's port is closed.
	leaderless.told("no leader for partition 1 of 2: start broker 2", "connection refused")
	short.told("fewer in-sync replicas than the 2 of min.insync.replicas: look at broker 2", "connection refused")
	before := endOf(t, cluster, "leaderless", 0)
	leaderless.until(
		"the partition that has a leader goes on",
		func() bool { return endOf(t, cluster, "leaderless", 0) > before+keysEach },
	)

	// More events than the window holds wait for the partition without a leader.
	leaderless.write("leaderless", 6_000)
	leaderless.leftOnly("leaderless", 1)

	require.NoError(t, cluster.Node(1).Kill())
	down := time.Now()
	gone.told("connection refused", "EOF")
	gone.until("the lease would be over", func() bool { return time.Since(down) > lease })
	require.NoError(t, cluster.StartAll(ctx))
	for _, s := range sources {
		s.resumed()
	}
	for _, stop := range stops {
		stop()
	}
	for topic, s := range sources {
		s.drained(topic)
		require.NoError(t, s.stop())
		s.requireFaultless(topic)
		s.requireOutagesTold()
	}
}

// endOf returns how many records a partition has. Other partitions of the topic may have no leader.
func endOf(t *testing.T, cluster *kafkatest.Cluster, topic string, partition int32) (offset int64) {
	t.Helper()
	admin, err := cluster.Admin()
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ends, _ := admin.ListEndOffsets(ctx, topic)
		end, ok := ends.Lookup(topic, partition)
		offset = end.Offset
		return ok && end.Err == nil
	}, kafkatest.StartTimeout, 100*time.Millisecond)
	return offset
}

func credentialsExpire(t *testing.T, cluster *kafkatest.Cluster) {
	allowAll(t, cluster, "expiring", "expires", "expires-too")
	s := startSource(t, cluster, "expiring", time.Minute)
	s.topic("expires", nil, []int32{1}, []int32{2})
	s.topic("expires-too", nil, []int32{1})
	s.write("expires", 100)
	s.write("expires-too", 100)
	s.drained("expires")
	s.drained("expires-too")
	stop := s.keepWriting("expires", "expires-too")
	ctx, cancel := s.timed()
	defer cancel()
	require.NoError(t, cluster.DeleteUser(ctx, "expiring"))
	s.told("SASL_AUTHENTICATION_FAILED")
	require.NoError(t, cluster.SetUser(ctx, "expiring", password))
	s.resumed()
	stop()
	for _, topic := range []string{"expires", "expires-too"} {
		s.drained(topic)
		s.requireFaultless(topic)
	}
	require.NoError(t, s.stop())
	s.requireOutagesTold()
}

func topicCreatedAgain(t *testing.T, cluster *kafkatest.Cluster) {
	s := startSource(t, cluster, "", time.Minute)
	s.topic("again", nil, []int32{1}, []int32{2})
	s.topic("beside", nil, []int32{2})
	s.write("again", 100)
	s.write("beside", 100)
	s.drained("again")
	s.drained("beside")
	s.requireFaultless("again")

	ctx, cancel := s.timed()
	defer cancel()
	require.NoError(t, cluster.DeleteTopic(ctx, "again"))
	s.mu.Lock()
	delete(s.written, "again") // it was deleted with the topic
	s.mu.Unlock()
	s.write("again", 100)
	s.write("beside", 100)
	s.drained("beside")
	s.told("waiting for topic again, which Kafka does not know")
	s.topic("again", nil, []int32{2}, []int32{1})
	s.write("again", 100)
	s.drained("again")
	s.resumed()
	require.NoError(t, s.stop())
	s.requireFaultless("again")
	s.requireFaultless("beside")
	s.requireOutagesTold()
}

func topicCreatedLate(t *testing.T, cluster *kafkatest.Cluster) {
	s := startSource(t, cluster, "", time.Minute)
	s.topic("early", nil, []int32{1})
	s.write("late", 100)
	s.write("early", 100)
	s.drained("early")
	s.told("waiting for topic late, which Kafka does not know")
	s.topic("late", nil, []int32{1}, []int32{2})
	s.write("late", 100)
	s.drained("late")
	s.resumed()
	require.NoError(t, s.stop())
	s.requireFaultless("early")
	s.requireFaultless("late")
	s.requireOutagesTold()
}

func topicForbidden(t *testing.T, cluster *kafkatest.Cluster) {
	allowAll(t, cluster, "restricted", "forbidden", "open")
	s := startSource(t, cluster, "restricted", time.Minute)
	s.topic("forbidden", nil, []int32{1}, []int32{2})
	s.topic("open", nil, []int32{1})
	s.write("forbidden", 100)
	s.write("open", 100)
	s.drained("forbidden")
	s.drained("open")

	ctx, cancel := s.timed()
	defer cancel()
	require.NoError(t, cluster.Forbid(ctx, "restricted", "forbidden", kadm.OpWrite))
	stop := s.keepWriting("forbidden", "open")
	s.until("events are parked", func() bool { return s.rows("outbox_parked", "forbidden") > 0 })
	before := endOf(t, cluster, "open", 0)
	s.until("the other topic goes on", func() bool { return endOf(t, cluster, "open", 0) > before+keysEach })
	stop()
	s.drained("open")
	s.drained("forbidden")
	require.Zero(t, s.rows("outbox_parked", "open"))
	require.Len(t, s.log.with("are rejected until kafka takes them"), 1)
	require.NoError(t, cluster.Allow(ctx, "restricted", "forbidden", kadm.OpWrite))
	s.told("takes records again")
	s.writeKeys("forbidden", "fresh", 100)
	s.drained("forbidden")
	parked := s.rows("outbox_parked", "forbidden")
	require.Positive(t, parked)
	_, err := s.db.DB.ExecContext(ctx, "UPDATE outbox_parked SET state = 'retry'")
	require.NoError(t, err)
	s.until("what was parked is sent", func() bool { return s.rows("outbox_parked", "forbidden") == 0 })
	require.NoError(t, s.stop())
	s.requireFaultless("forbidden")
	s.requireFaultless("open")
}

// Nothing tells the relay that a limit was lowered, until the first rejection. Then batches become smaller,
// and only records that are too large by themselves are set aside.
func limitLowered(t *testing.T, cluster *kafkatest.Cluster) {
	s := startSource(t, cluster, "", time.Minute)
	s.topic("narrow", nil, []int32{1})
	s.write("narrow", 100)
	s.drained("narrow")
	limit := "1000"
	admin, err := cluster.Admin()
	require.NoError(t, err)
	ctx, cancel := s.timed()
	defer cancel()
	_, err = admin.AlterTopicConfigs(
		ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &limit}}, "narrow",
	)
	require.NoError(t, err)
	for range 5 {
		s.write("narrow", 200)
	}
	s.drained("narrow")
	require.NoError(t, s.stop())
	s.requireFaultless("narrow")
	require.Zero(t, s.rows("outbox_parked", "narrow"))
	require.Empty(t, strings.Join(s.log.with("parked"), "\n"))
}
