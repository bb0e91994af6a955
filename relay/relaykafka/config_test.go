package relaykafka_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/relay/relaykafka"
)

func TestAWrongConfigurationNamesTheFieldAndWhatToDo(t *testing.T) {
	ok := []string{"127.0.0.1:9092"}
	for _, wrong := range []struct {
		name string
		cfg  relaykafka.Config
		says []string
	}{
		{"no brokers", relaykafka.Config{}, []string{"Config.Brokers", "host:port"}},
		{
			"a list in one string", relaykafka.Config{Brokers: []string{"a:1,b:2"}},
			[]string{"Config.Brokers", "a:1,b:2"},
		},
		{"a URL", relaykafka.Config{Brokers: []string{"kafka://a:1"}}, []string{"Config.Brokers"}},
		{"a port that is none", relaykafka.Config{Brokers: []string{"a:b"}}, []string{"Config.Brokers"}},
		{
			"negative partitions", relaykafka.Config{Brokers: ok, TopicPartitions: -2},
			[]string{"Config.TopicPartitions"},
		},
		{"negative replicas", relaykafka.Config{Brokers: ok, TopicReplicas: -2}, []string{"Config.TopicReplicas"}},
		{"a negative linger", relaykafka.Config{Brokers: ok, Linger: -1}, []string{"Config.Linger"}},
		{"a linger without end", relaykafka.Config{Brokers: ok, Linger: time.Hour}, []string{"Config.Linger"}},
		{
			"an unknown compression", relaykafka.Config{Brokers: ok, Compression: "rar"},
			[]string{"Config.Compression", "rar", "zstd"},
		},
		{"tiny batches", relaykafka.Config{Brokers: ok, BatchMaxBytes: 10}, []string{"Config.BatchMaxBytes"}},
		{"huge batches", relaykafka.Config{Brokers: ok, BatchMaxBytes: 1 << 30}, []string{"Config.BatchMaxBytes"}},
		{
			"a negative buffer", relaykafka.Config{Brokers: ok, MaxBufferedBytes: -1},
			[]string{"Config.MaxBufferedBytes"},
		},
		{
			"a negative patience", relaykafka.Config{Brokers: ok, UnknownTopicAfter: -1},
			[]string{"Config.UnknownTopicAfter"},
		},
		{"two faults at once", relaykafka.Config{Linger: -1}, []string{"Config.Brokers", "Config.Linger"}},
		{"a producer without idempotence", relaykafka.Config{
			Brokers: ok, ExtraOptions: []kgo.Opt{kgo.DisableIdempotentWrite()},
		},
			[]string{"Config.ExtraOptions", "DisableIdempotentWrite"}},
		{"a producer that may cancel", relaykafka.Config{
			Brokers: ok, ExtraOptions: []kgo.Opt{kgo.AllowIdempotentProduceCancellation()},
		},
			[]string{"Config.ExtraOptions", "AllowIdempotentProduceCancellation"}},
		{
			"flushing by hand", relaykafka.Config{Brokers: ok, ExtraOptions: []kgo.Opt{kgo.ManualFlushing()}},
			[]string{"ManualFlushing"},
		},
		{
			"topics by accident", relaykafka.Config{Brokers: ok, ExtraOptions: []kgo.Opt{kgo.AllowAutoTopicCreation()}},
			[]string{"AllowAutoTopicCreation"},
		},
		{
			"transactions", relaykafka.Config{Brokers: ok, ExtraOptions: []kgo.Opt{kgo.TransactionalID("x")}},
			[]string{"TransactionalID"},
		},
	} {
		t.Run(wrong.name, func(t *testing.T) {
			_, err := relaykafka.New(wrong.cfg)
			require.Error(t, err)
			for _, part := range wrong.says {
				require.ErrorContains(t, err, part)
			}
			_, err = relaykafka.NewPublisher(wrong.cfg, relaykafka.PublisherOptions{})
			require.Error(t, err)
		})
	}
}

func TestEveryCompressionIsAccepted(t *testing.T) {
	for _, codec := range []string{"", "none", "gzip", "snappy", "lz4", "zstd"} {
		_, err := relaykafka.New(relaykafka.Config{Brokers: []string{"127.0.0.1"}, Compression: codec})
		require.NoError(t, err, codec)
	}
}
