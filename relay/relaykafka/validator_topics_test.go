package relaykafka_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// Records that would only wait here stay in the table. However many topics are missing, one request asks for
// all of them, and the session gets none of their records.
func TestTheValidatorKnowsWhichTopicsAreThere(t *testing.T) {
	cluster := fakeKafka(t, kfake.SeedTopics(3, "orders"))
	asked := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Observe: true, Count: -1})
	log := newJournal()
	sink := newSink(
		t, relaykafka.Config{Brokers: cluster.ListenAddrs(), Logger: slog.New(log), UnknownTopicAfter: time.Minute},
	)
	got := newAnswers()
	session, err := sink.Open(t.Context(), got.ack)
	require.NoError(t, err)
	defer session.Close()
	lanes := session.(relay.Lanes)
	records := []*relay.Record{record(1, "orders", "k", nil), record(2, "orders", "", nil)}
	for i := range 2_500 {
		records = append(records, record(int64(i+3), fmt.Sprint("missing", i), "k", nil))
	}
	lanes.Learn(t.Context(), records)
	eventually(t, "all are known to be missing", func() bool {
		for _, r := range records[2:] {
			if lanes.Ready(r.Topic, lanes.Lane(r)) {
				return false
			}
		}
		return true
	})
	require.True(t, lanes.Ready("orders", lanes.Lane(records[0])))
	require.EqualValues(t, -1, lanes.Lane(records[1]), "any partition")
	require.Less(t, asked.Hits(), 50, "requests")
	require.NotEmpty(t, log.with("which Kafka does not know"))
	require.Less(t, len(log.with("which Kafka does not know")), 10, "lines")

	session.Deliver(t.Context(), records[:1])
	require.NoError(t, got.wait(t, records[0])[0])
	placed := consume(t, "orders", cluster.ListenAddrs()...)
	require.Equal(t, placed[0].Partition, lanes.Lane(records[0]), "a lane is the partition")

	require.NoError(t, cluster.CreateTopic("missing7", 1, nil))
	eventually(t, "a topic that was created is ready", func() bool { return lanes.Ready("missing7", 0) })
}

func TestAMissingTopicIsRefusedWithoutSendingARecordOfIt(t *testing.T) {
	cluster := fakeKafka(t, kfake.SeedTopics(1, "orders"))
	validator, got := openValidator(
		t, relaykafka.Config{Brokers: cluster.ListenAddrs(), UnknownTopicAfter: 100 * time.Millisecond},
	)
	lost := record(1, "ordres", "k", nil)
	validator.(relay.Lanes).Learn(t.Context(), []*relay.Record{record(2, "orders", "k", nil), lost})
	eventually(t, "it is refused", func() bool { return validator.Validate(lost) != nil })
	require.ErrorContains(t, validator.Validate(lost), "topic ordres does not exist")
	require.True(t, validator.(relay.Lanes).Ready("ordres", -1), "to be parked")
	fine := record(3, "orders", "k", nil)
	validator.Deliver(t.Context(), []*relay.Record{fine})
	require.NoError(t, got.wait(t, fine)[0], "the session goes on")
}
