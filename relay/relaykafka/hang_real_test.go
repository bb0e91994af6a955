//go:build unix

package relaykafka_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/kafkatest"
	"github.com/postroom/postroom/internal/kafkatx"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// These tests show how other producers' transactions, and the brokers' limit for them, affect a source.
func TestTransactionsOfStrangers(t *testing.T) {
	cluster := kafkatest.Start(t, kafkatest.Options{Settings: map[string]string{
		kafkatest.Unverified: "false", "transaction.max.timeout.ms": "60000",
	}})
	ctx, cancel := context.WithTimeout(context.Background(), kafkatest.StartTimeout)
	defer cancel()
	require.NoError(t, cluster.CreateTopic(ctx, "orders", [][]int32{{1}, {1}}, nil))
	t.Run("one that stands in the way of the manifests is named", func(t *testing.T) { inTheWay(t, cluster) })
	t.Run("a program with a source's transactional id stops the source", func(t *testing.T) { sameID(t, cluster) })
	t.Run("brokers that allow less time than the relay asks for are told by the setting", func(t *testing.T) {
		w := newTxWorld(t, cluster.Brokers())
		w.cfg = relaykafka.WithTransactionTimeout(w.cfg, 2*time.Minute)
		_, err := w.tryOpen(nil)
		require.ErrorIs(t, err, relay.ErrUnusable)
		require.ErrorContains(t, err, "less than 2m0s: raise the brokers' transaction.max.timeout.ms")
	})
}

// A transaction stays open in a source's manifest topic, so the manifests behind it cannot be read. The relay
// names the transaction and the command to type. After the transaction has ended, the relay goes on, and
// sends nothing twice.
func inTheWay(t *testing.T, cluster *kafkatest.Cluster) {
	const unknown = 4711
	for name, c := range map[string]struct {
		begin func(*testing.T, *txWorld) (producer int64, offset int64)
		says  func(w *txWorld, producer, offset int64) []string
	}{
		"no coordinator knows its producer": {
			func(t *testing.T, w *txWorld) (int64, int64) {
				offset, err := cluster.Hang(w.ctx(), w.manifest(), 0, unknown, 0)
				require.NoError(t, err)
				return unknown, offset
			},
			func(w *txWorld, _, offset int64) []string {
				return []string{
					"it hangs, or belongs to a program",
					"find-hanging --max-transaction-timeout 1 --topic " + w.manifest() + " --partition 0",
					fmt.Sprintf("abort --topic %s --partition 0 --start-offset %d", w.manifest(), offset)}
			},
		},
		"its coordinator has forgotten it": {
			func(t *testing.T, w *txWorld) (int64, int64) {
				other := newProducer(t, w, "forgotten")
				producer, epoch, err := other.ProducerID(w.ctx())
				require.NoError(t, err)
				offset, err := cluster.Hang(w.ctx(), w.manifest(), 0, producer, epoch)
				require.NoError(t, err)
				return producer, offset
			},
			func(w *txWorld, _, offset int64) []string {
				return []string{"transactional id forgotten", "a transaction hangs", "nobody will end it",
					fmt.Sprintf("abort --topic %s --partition 0 --start-offset %d", w.manifest(), offset)}
			},
		},
		"its producer is alive": {
			func(t *testing.T, w *txWorld) (int64, int64) {
				other := newProducer(t, w, "another program")
				require.NoError(t, other.BeginTransaction())
				r, err := other.ProduceSync(w.ctx(), &kgo.Record{Topic: w.manifest(), Value: []byte("stray")}).First()
				require.NoError(t, err)
				return r.ProducerID, r.Offset
			},
			func(*txWorld, int64, int64) []string {
				return []string{
					"transactional id another program", "(its timeout is 1m0s)",
					"forceTerminateTransaction --transactionalId 'another program'",
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTxWorld(t, cluster.Brokers())
			first := w.open(nil)
			records := numbered(1, 20, 7, "orders")
			first.commit(records[:10]...)
			first.Close()
			producer, offset := c.begin(t, w)

			first = w.open(nil)
			first.commit(records[10:]...)
			first.Close()
			w.cfg = relaykafka.WithOpenTimeout(w.cfg, 2*time.Second)
			second := w.open(nil)
			var named []relay.Sent
			visit := func(rows []relay.Sent) error {
				named = append(named, rows...)
				return nil
			}
			err := second.Sent(w.ctx(), visit)
			var open *kafkatx.Error
			require.True(t, errors.As(err, &open), "%v", err)
			require.NotErrorIs(t, err, relay.ErrUnusable)
			require.Equal(t, sentOf(records[:10]...), named)
			require.ErrorContains(t, err, fmt.Sprintf(
				"topic %s, partition 0, from offset %d on: of producer id %d, epoch ", w.manifest(), offset, producer,
			))
			for _, text := range append(
				c.says(w, producer, offset), "kafka-transactions.sh --bootstrap-server "+w.brokers[0],
			) {
				require.ErrorContains(t, err, text)
			}
			second.Close()

			// This does what kafka-transactions.sh abort does.
			abort(t, w, open.Open)
			named = nil
			require.NoError(t, w.open(nil).Sent(w.ctx(), visit))
			require.Equal(t, sentOf(records...), named)
		})
	}
}

func newProducer(t *testing.T, w *txWorld, id string) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(w.brokers...), kgo.TransactionalID(id), kgo.TransactionTimeout(time.Minute),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

// abort writes the marker that kafka-transactions.sh abort writes.
func abort(t *testing.T, w *txWorld, o kafkatx.Open) {
	t.Helper()
	described, err := w.admin.DescribeProducers(w.ctx(), kadm.TopicsSet{o.Topic: {o.Partition: {}}})
	require.NoError(t, err)
	p := described[o.Topic].Partitions[o.Partition].ActiveProducers[o.ProducerID]
	require.Equal(t, o.StartOffset, p.CurrentTxnStartOffset)
	written, err := w.admin.WriteTxnMarkers(w.ctx(), kadm.TxnMarkers{
		ProducerID: o.ProducerID, ProducerEpoch: o.ProducerEpoch, CoordinatorEpoch: max(p.CoordinatorEpoch, 0),
		Topics: kadm.TopicsSet{o.Topic: {o.Partition: {}}},
	})
	require.NoError(t, err)
	for _, producer := range written {
		for _, topic := range producer.Topics {
			for _, partition := range topic.Partitions {
				require.NoError(t, partition.Err)
			}
		}
	}
}

// sameID lets another program fence the relay with the source's transactional id whenever the relay has
// fenced it. Neither of them makes progress. The relay logs the reason and stops. Everything that it commits
// before and after that arrives once.
func sameID(t *testing.T, cluster *kafkatest.Cluster) {
	s := newSource(t, cluster)
	s.topic("shared", nil, []int32{1}, []int32{1})
	s.topic("strangers", nil, []int32{1})
	s.start("", 6*time.Second, relay.ExactlyOnce)
	s.write("shared", 100)
	s.drained("shared")
	var id string
	require.NoError(t, s.db.DB.QueryRowContext(t.Context(), "SELECT source_id FROM outbox_leases").Scan(&id))
	other := keepTaking(t, cluster, "postroom."+id)
	stop := s.keepWriting("shared")
	err := <-s.ended
	s.ended <- err // stop reads it
	stop()
	require.ErrorIs(t, err, relay.ErrUnusable)
	require.ErrorIs(t, err, relay.ErrFenced)
	require.ErrorContains(t, err, "transactional id postroom."+id)
	require.ErrorContains(t, err, "another program")
	require.ErrorContains(t, err, "relay source new-identity")
	s.told("another producer has taken over")

	other()
	s.start("", 6*time.Second, relay.ExactlyOnce)
	s.drained("shared")
	require.NoError(t, s.stop())
	arrived := make(map[string][]string)
	for _, r := range committed(t, cluster.Brokers(), "shared") {
		arrived[string(r.Key)] = append(arrived[string(r.Key)], string(r.Value))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(t, s.written["shared"], arrived)
}

// keepTaking makes transactions with a transactional id, each with a new producer, until the returned
// function is called.
func keepTaking(t *testing.T, cluster *kafkatest.Cluster, id string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var taking sync.WaitGroup
	taking.Go(func() {
		for ctx.Err() == nil {
			client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers()...), kgo.TransactionalID(id))
			if err != nil {
				panic(err)
			}
			r := &kgo.Record{Topic: "strangers", Value: []byte("v")}
			if client.BeginTransaction() == nil && client.ProduceSync(ctx, r).FirstErr() == nil {
				_ = client.EndTransaction(ctx, kgo.TryCommit)
			}
			client.Close()
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		taking.Wait()
	})
	t.Cleanup(stop)
	return stop
}
