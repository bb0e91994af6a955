//go:build unix

package kafkatest

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// Unverified is the setting with which a broker takes transactional records that no
// coordinator knows of, as all did before Kafka 3.6.
const Unverified = "transaction.partition.verification.enable"

// Hang writes a record to a partition in a transaction that no coordinator has open, and
// returns its offset: nobody will end that transaction. The cluster needs Unverified=false.
func (c *Cluster) Hang(
	ctx context.Context, topic string, partition int32, producer int64, epoch int16,
) (offset int64, err error) {
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(kmsg.Produce.Int16(), 11) // from 12 on the broker adds the partition to the transaction
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...), kgo.MaxVersions(versions), kgo.DisableClientMetrics())
	if err != nil {
		return 0, err
	}
	defer client.Close()
	id := fmt.Sprint("postroom-test-", producer)
	request := kmsg.NewPtrProduceRequest()
	request.TransactionID, request.Acks, request.TimeoutMillis = &id, -1, 10_000
	t, p := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	t.Topic, p.Partition, p.Records = topic, partition, transactionalBatch(producer, epoch)
	t.Partitions = append(t.Partitions, p)
	request.Topics = append(request.Topics, t)
	topics, err := kadm.NewClient(client).ListTopics(ctx, topic)
	if err != nil {
		return 0, err
	}
	leader := topics[topic].Partitions[partition].Leader
	response, err := request.RequestWith(ctx, client.Broker(int(leader)))
	if err != nil {
		return 0, fmt.Errorf("kafkatest: write to topic %s: %w", topic, err)
	}
	answer := response.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return 0, fmt.Errorf("kafkatest: write to topic %s: %w", topic, err)
	}
	return answer.BaseOffset, nil
}

// transactionalBatch is a record batch (message format 2, KIP-98) with one record.
func transactionalBatch(producer int64, epoch int16) []byte {
	const transactional = 1 << 4
	record := kmsg.Record{Value: []byte("hangs")}
	record.Length = int32(len(record.AppendTo(nil)) - 1)
	now := time.Now().UnixMilli()
	batch := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, Attributes: transactional, FirstTimestamp: now, MaxTimestamp: now,
		ProducerID: producer, ProducerEpoch: epoch, NumRecords: 1, Records: record.AppendTo(nil),
	}
	raw := batch.AppendTo(nil)
	const beforeLength, beforeCRC, afterCRC = 8, 17, 21
	binary.BigEndian.PutUint32(raw[beforeLength:], uint32(len(raw)-beforeLength-4))
	binary.BigEndian.PutUint32(raw[beforeCRC:], crc32.Checksum(raw[afterCRC:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}
