package kafkaread_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/internal/kafkaread"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster has the topics "orders", with two partitions, and "empty".
func cluster(t *testing.T) []string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "orders", "empty"))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c.ListenAddrs()
}

func producer(t *testing.T, brokers []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(opts,
		kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic("orders"), kgo.RecordPartitioner(kgo.ManualPartitioner()),
	)...)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

// send puts one record into each partition.
func send(t *testing.T, client *kgo.Client, value string) {
	t.Helper()
	for partition := range int32(2) {
		r := &kgo.Record{Partition: partition, Value: []byte(value)}
		require.NoError(t, client.ProduceSync(t.Context(), r).FirstErr())
	}
}

func read(t *testing.T, brokers []string, level kgo.IsolationLevel) (values []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, kafkaread.ToEnd(ctx, brokers, []string{"orders", "empty"}, level, func(r *kgo.Record) {
		if r.Partition == 0 {
			values = append(values, string(r.Value))
		}
	}))
	return values
}

func TestATopicIsReadToItsPresentEnd(t *testing.T) {
	brokers := cluster(t)
	require.Empty(t, read(t, brokers, kgo.ReadCommitted()), "no partition has a record")
	plain := producer(t, brokers)
	send(t, plain, "a")
	transactional := producer(t, brokers, kgo.TransactionalID("test"))
	for value, how := range map[string]kgo.TransactionEndTry{"kept": kgo.TryCommit, "aborted": kgo.TryAbort} {
		require.NoError(t, transactional.BeginTransaction())
		send(t, transactional, value)
		require.NoError(t, transactional.EndTransaction(t.Context(), how))
	}
	require.Equal(t, []string{"a", "kept"}, read(t, brokers, kgo.ReadCommitted()))
	require.ElementsMatch(t, []string{"a", "kept", "aborted"}, read(t, brokers, kgo.ReadUncommitted()))
}

func TestAnOpenTransactionIsWaitedForWhereItCouldStillBeCommitted(t *testing.T) {
	brokers := cluster(t)
	transactional := producer(t, brokers, kgo.TransactionalID("test"))
	require.NoError(t, transactional.BeginTransaction())
	send(t, transactional, "open")
	require.Equal(t, []string{"open"}, read(t, brokers, kgo.ReadUncommitted()))

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := kafkaread.Records(ctx, brokers, "orders", kgo.ReadCommitted())
	require.ErrorContains(t, err, "a transaction stays open")

	read := make(chan int)
	go func() {
		records, err := kafkaread.Records(t.Context(), brokers, "orders", kgo.ReadCommitted())
		if err != nil {
			t.Error(err)
		}
		read <- len(records)
	}()
	require.NoError(t, transactional.EndTransaction(t.Context(), kgo.TryCommit))
	require.Equal(t, 2, <-read)
}
