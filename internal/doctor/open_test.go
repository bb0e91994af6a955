//go:build unix

package doctor_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/internal/kafkatest"
	"github.com/postroom/postroom/internal/kafkatx"
	store "github.com/postroom/postroom/internal/store/relay"
)

// Nobody ends a transaction in a topic that the relay writes to, and another in its manifest topic. Consumers
// of committed records cannot read past it.
func TestATransactionThatHangsIsFoundInTheTopicsOfTheRelay(t *testing.T) {
	cluster := kafkatest.Start(t, kafkatest.Options{Secure: true,
		Settings: map[string]string{kafkatest.Unverified: "false"}})
	c := onSQLite(t)
	c.connect(cluster.Brokers())
	c.source.ExactlyOnce = true
	c.opts.MaxAge = 5 * time.Second // a fifth of it is a warning
	require.NoError(t, c.relay.Note(t.Context(), c.lease, store.Mode("exactly-once")))
	manifest := "postroom.manifest." + c.lease.SourceID.String()
	for _, name := range []string{"orders", "quiet", manifest} {
		require.NoError(t, cluster.CreateTopic(t.Context(), name, [][]int32{{1}}, nil))
	}
	c.source.Topics = []string{"orders", "quiet"}
	require.Empty(t, c.examine().all("topics.transaction"))

	ordinary, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers()...))
	require.NoError(t, err)
	defer ordinary.Close()
	for _, name := range []string{"orders", "quiet", manifest} {
		require.NoError(t, ordinary.ProduceSync(t.Context(), &kgo.Record{Topic: name, Value: []byte("v")}).FirstErr())
	}
	offset, err := cluster.Hang(t.Context(), "orders", 0, 4711, 3)
	require.NoError(t, err)
	alive, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers()...), kgo.TransactionalID("slow"),
		kgo.TransactionTimeout(10*time.Minute))
	require.NoError(t, err)
	defer alive.Close()
	require.NoError(t, alive.BeginTransaction())
	require.NoError(t, alive.ProduceSync(t.Context(), &kgo.Record{Topic: manifest, Value: []byte("v")}).FirstErr())

	hangs := c.eventually("topics.transaction", atWorst)
	requireFinding(t, hangs, doctor.Problem, "topic orders", fmt.Sprintf("kafka-transactions.sh --bootstrap-server "+
		"%s abort --topic orders --partition 0 --start-offset %d", cluster.Brokers()[0], offset))
	require.Contains(t, hangs.What,
		fmt.Sprintf("in topic orders, partition 0, from offset %d on: of producer id 4711, epoch 3", offset))
	open := c.examine().only(t, "manifest.transaction")
	require.Equal(t, "topic "+manifest, open.Subject)
	require.Contains(t, open.What, "transactional id slow")
	require.Contains(t, open.Do[1], "forceTerminateTransaction --transactionalId slow")
	c.examine().only(t, "topics.transaction")

	// The relay's own user may not read the topics of the events. Then doctor knows that a transaction is
	// open, but not whose it is.
	require.NoError(t, cluster.SetUser(t.Context(), "relay", "secret"))
	for _, name := range []string{"orders", "quiet", manifest} {
		require.NoError(t, cluster.Allow(t.Context(), "relay", name, kadm.OpWrite, kadm.OpDescribeConfigs))
	}
	c.connect(cluster.SecureBrokers(), kgo.SASL(kafkatest.Credentials("relay", "secret")))
	blind := c.eventually("topics.transaction", atWorst)
	require.Contains(t, blind.What, fmt.Sprintf("from offset %d on; whose it is, this user may not ask", offset))
	require.Contains(t, blind.Do[0], "describe-producers --topic orders --partition 0")
}

func TestWhatIsOpenInATopicIsOneFinding(t *testing.T) {
	c := onSQLite(t)
	var list []kafkatx.Open
	for p := range int32(7) {
		list = append(list, kafkatx.Open{
			Topic: "orders", Partition: p, ProducerID: 9, StartOffset: int64(p), State: kafkatx.Running,
			TransactionalID: "it's",
			Since:           time.Now().Add(-2 * time.Minute), Timeout: time.Hour,
		})
	}
	sink := &fakeKafka{open: list}
	c.source.Sink, c.source.Topics = sink, []string{"orders"}
	running := c.examine().only(t, "topics.transaction")
	requireFinding(t, running, doctor.Warning, "topic orders", `describe --transactional-id 'it'\''s'`)
	require.Contains(t, running.What, "6 partitions more")

	for i := range list {
		list[i].State = kafkatx.Ending
	}
	ending := c.examine().only(t, "topics.transaction")
	require.Equal(t, doctor.Problem, ending.Severity)
	require.Contains(t, ending.Why, "Do not abort it by hand")
	for i := range list {
		list[i].State = kafkatx.Hanging
	}
	require.Len(t, c.examine().only(t, "topics.transaction").Do, 5, "the first of them")
}

func TestAnOutageThatTheOwnerTellsOfIsFound(t *testing.T) {
	c := onSQLite(t)
	require.NoError(
		t, c.relay.Note(t.Context(), c.lease, store.SinkOutage(time.Now(), "a transaction hangs in topic m")),
	)
	found := c.examine().only(t, "lease.outage")
	requireFinding(t, found, doctor.Problem, "outbox_leases", "relay status")
	require.Contains(t, found.What, "a transaction hangs in topic m")
	require.NoError(t, c.relay.Note(t.Context(), c.lease, store.SinkOutage(time.Now(), "")))
	require.Empty(t, c.examine().all("lease.outage"))
}
