package watermillkafka

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/relay/relaywatermill"
)

// Marshaler makes Kafka messages in the relay's wire format. It reads and writes the format of
// watermill-kafka's DefaultMarshaler, and adds the key, headers in a fixed order, and null for a nil payload.
type Marshaler struct {
	kafka.DefaultMarshaler

	// Key returns a message's Kafka key, or nil for none. Default nil: the key in the message's context, see
	// relaywatermill.KeyFromContext.
	Key func(topic string, msg *message.Message) []byte
}

var _ kafka.MarshalerUnmarshaler = Marshaler{}

// errNoMessage marks a record of which no Kafka message can be made. It would fail again.
var errNoMessage = errors.New("no kafka message can be made")

// Marshal makes the Kafka message. It rejects metadata with the name that is reserved for the message's UUID.
func (m Marshaler) Marshal(topic string, msg *message.Message) (*sarama.ProducerMessage, error) {
	if msg.Metadata.Get(kafka.UUIDHeaderKey) != "" {
		return nil, fmt.Errorf("%w: message %s for topic %s has the metadata %s, which is reserved for the message's "+
			"UUID: leave it out",
			errNoMessage, msg.UUID, topic, kafka.UUIDHeaderKey)
	}
	headers := make([]sarama.RecordHeader, 0, len(msg.Metadata)+1)
	headers = append(headers, sarama.RecordHeader{Key: []byte(kafka.UUIDHeaderKey), Value: []byte(msg.UUID)})
	for name, value := range msg.Metadata {
		headers = append(headers, sarama.RecordHeader{Key: []byte(name), Value: []byte(value)})
	}
	slices.SortFunc(
		headers, func(a, b sarama.RecordHeader) int { return strings.Compare(string(a.Key), string(b.Key)) },
	)
	out := &sarama.ProducerMessage{Topic: topic, Headers: headers}
	if msg.Payload != nil {
		out.Value = sarama.ByteEncoder(msg.Payload)
	}
	if key := m.key(topic, msg); key != nil {
		out.Key = sarama.ByteEncoder(key)
	}
	return out, nil
}

func (m Marshaler) key(topic string, msg *message.Message) []byte {
	if m.Key != nil {
		return m.Key(topic, msg)
	}
	key, _ := relaywatermill.KeyFromContext(msg.Context())
	return key
}

// partitioner puts a key into the partition where the Java client puts it. None of sarama's partitioners does
// that. The hash is franz-go's. One partitioner serves one topic, from one goroutine.
type partitioner struct{ keyed kgo.TopicPartitioner }

var _ sarama.DynamicConsistencyPartitioner = partitioner{}

func newPartitioner(topic string) sarama.Partitioner {
	return partitioner{kgo.StickyKeyPartitioner(nil).ForTopic(topic)}
}

func (p partitioner) Partition(msg *sarama.ProducerMessage, partitions int32) (int32, error) {
	if msg.Key == nil {
		return rand.Int32N(partitions), nil
	}
	key, err := msg.Key.Encode()
	if err != nil {
		return 0, err
	}
	return int32(p.keyed.Partition(&kgo.Record{Key: key}, int(partitions))), nil
}

// RequiresConsistency makes sarama wait if the partition of a key has no leader, instead of using another
// partition.
func (partitioner) RequiresConsistency() bool { return true }

func (partitioner) MessageRequiresConsistency(msg *sarama.ProducerMessage) bool {
	return msg.Key != nil
}
