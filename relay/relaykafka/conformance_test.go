package relaykafka_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/postroom/postroom/relay/relaykafka"
	"github.com/postroom/postroom/relay/relaytest"
)

func TestSinkKeepsTheRelaysPromises(t *testing.T) {
	relaytest.Sink(t, func(t *testing.T) relaytest.Target {
		cluster := fakeKafka(t, kfake.SeedTopics(4, "one", "two"))
		return relaytest.Target{
			Sink: newSink(t, relaykafka.Config{
				Brokers:          cluster.ListenAddrs(),
				MaxBufferedBytes: 2 << 20,
			}),
			Topics:    [2]string{"one", "two"},
			Published: published(cluster.ListenAddrs()),
			Refuse: func(_ testing.TB, topic string) func() {
				fault := cluster.Fault(
					kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.InvalidRecord, Count: -1},
				)
				return func() { fault.Remove() }
			},
			Outage:    func(testing.TB) func() { return outage(cluster) },
			Rejects:   true,
			Buffer:    2 << 10,
			KeepsNull: true,
		}
	})
}
