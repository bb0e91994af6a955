package inboxkafka_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbtest"
)

// After a restore the whole topic is ahead of the database. One start tells of all partitions, up to 20, with the
// command for each: an operator who is told of one partition at each start would restart the consumer for every one.
func TestOneStartTellsOfAllPartitionsThatAreAhead(t *testing.T) {
	t.Parallel()
	const partitions, named = 23, 20
	w := newWorld(t, dbtest.SQLite(t), partitions)
	cfg := w.config(t, inboxkafka.Batch)
	for i, id := range ids("a", partitions) {
		w.produce(t, int32(i), id, id+" again")
	}
	r := consume(t, cfg, w.effect)
	w.awaitEffects(t, 2*partitions)
	require.Eventually(t, func() bool { return w.committedPartitions(t, 2) == partitions }, patience,
		10*time.Millisecond)
	r.end(t)

	w.exec(t, "UPDATE inbox_offsets SET applied_offset = 1 WHERE kafka_partition < 2")
	err := consume(t, cfg, w.effect).wait(t)
	for _, command := range []string{":0 --reset-offsets --to-offset 1 --execute",
		":1 --reset-offsets --to-offset 1 --execute"} {
		require.ErrorContains(t, err, "kafka-consumer-groups.sh --bootstrap-server "+w.brokers[0]+" --group "+cfg.Group+
			" --topic "+w.topic+command)
	}
	require.ErrorContains(t, err, "relay inbox doctor --kafka-brokers "+w.brokers[0])
	require.Equal(t, 2, strings.Count(err.Error(), "--reset-offsets"))

	w.exec(t, "DELETE FROM inbox_offsets")
	err = consume(t, cfg, w.effect).wait(t)
	require.Equal(t, named, strings.Count(err.Error(), "--reset-offsets --to-earliest"))
	require.ErrorContains(t, err, "and 3 more, which a later start names")
}

// committedPartitions counts the partitions whose offset in Kafka is at.
func (w world) committedPartitions(t *testing.T, at int64) (count int) {
	t.Helper()
	offsets, err := kadm.NewClient(w.producer).FetchOffsets(t.Context(), w.topic)
	require.NoError(t, err)
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.At == at {
			count++
		}
	})
	return count
}
