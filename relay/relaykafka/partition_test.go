package relaykafka_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// These vectors are from Apache Kafka's own UtilsTest.testMurmur2.
func TestAKeyGoesToThePartitionWhereJavaPutsIt(t *testing.T) {
	const partitions = 97
	vectors := map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	}
	cluster := fakeKafka(t, kfake.SeedTopics(partitions, "orders"))
	session, got := open(t, relaykafka.Config{Brokers: cluster.ListenAddrs()})
	var records []*relay.Record
	for key := range vectors {
		records = append(records, record(int64(len(records)+1), "orders", key, nil))
	}
	session.Deliver(t.Context(), records)
	got.wait(t, records...)
	arrived := consume(t, "orders", cluster.ListenAddrs()...)
	require.Len(t, arrived, len(vectors))
	for _, r := range arrived {
		require.Equal(t, (vectors[string(r.Key)]&0x7fffffff)%partitions, r.Partition, "partition of key %q", r.Key)
	}
}
