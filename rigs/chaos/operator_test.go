//go:build unix

package chaos

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/kafkatest"
)

// The operator ends hanging transactions, and does not touch those that their producer can still end.
func TestTheOperatorEndsTransactionsThatHangAndNoOther(t *testing.T) {
	cluster := kafkatest.Start(
		t, kafkatest.Options{Nodes: 1, Settings: map[string]string{kafkatest.Unverified: "false"}},
	)
	ctx, cancel := context.WithTimeout(t.Context(), kafkatest.StartTimeout)
	defer cancel()
	require.NoError(t, cluster.CreateTopic(ctx, "orders", [][]int32{{1}, {1}}, nil))
	producer := func(id string) *kgo.Client {
		client, err := kgo.NewClient(
			kgo.SeedBrokers(cluster.Brokers()...), kgo.TransactionalID(id),
			kgo.RecordPartitioner(kgo.ManualPartitioner()),
		)
		require.NoError(t, err)
		t.Cleanup(client.Close)
		return client
	}
	id, epoch, err := producer("hangs").ProducerID(ctx)
	require.NoError(t, err)
	offset, err := cluster.Hang(ctx, "orders", 0, id, epoch)
	require.NoError(t, err)
	running := producer("runs")
	require.NoError(t, running.BeginTransaction())
	require.NoError(t, running.ProduceSync(ctx, &kgo.Record{Topic: "orders", Partition: 1}).FirstErr())

	admin := kadm.NewClient(running)
	list := hanging(ctx, admin)
	require.Len(t, list, 1)
	require.Equal(t, offset, list[0].StartOffset)
	require.NoError(t, endHanging(ctx, admin, list[0]))
	require.Empty(t, hanging(ctx, admin))
	require.NoError(t, running.EndTransaction(ctx, kgo.TryCommit), "the other one is untouched")
	ends, err := admin.ListCommittedOffsets(ctx, "orders")
	require.NoError(t, err)
	last, _ := ends.Lookup("orders", 0)
	require.Equal(t, offset+2, last.Offset, "behind the record and its marker")
}
