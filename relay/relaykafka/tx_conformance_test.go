package relaykafka_test

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
	"github.com/postroom/postroom/relay/relaytest"
)

// txSink is a sink for one source. Each of its sessions is transactional.
type txSink struct {
	*relaykafka.Sink
	source relay.Identity
}

func (s txSink) Open(ctx context.Context, ack relay.Ack) (relay.Session, error) {
	return s.OpenTransactional(ctx, s.source, nil, ack)
}

func TestTransactionsKeepTheRelaysPromises(t *testing.T) {
	relaytest.Sink(t, func(t *testing.T) relaytest.Target {
		w, cluster := fakeTx(t, kfake.SeedTopics(4, "one", "two"))
		w.cfg.TransactionRecords = 500
		return relaytest.Target{
			Sink:      txSink{newSink(t, w.cfg), w.source},
			Topics:    [2]string{"one", "two"},
			Published: publishedCommitted(w.brokers),
			Refuse: func(_ testing.TB, topic string) func() {
				fault := cluster.Fault(
					kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.InvalidRecord, Count: -1},
				)
				return func() { fault.Remove() }
			},
			Outage:    func(testing.TB) func() { return outage(cluster) },
			Rejects:   true,
			Buffer:    2 << 10,
			Patience:  patience,
			KeepsNull: true,
		}
	})
}

func TestTransactionsKeepTheRelaysPromisesOnARealKafka(t *testing.T) {
	brokers := realBrokers(t)
	relaytest.Sink(t, func(t *testing.T) relaytest.Target {
		network, w := new(cutNetwork), newTxWorld(t, brokers)
		w.cfg.TransactionRecords = 500
		w.cfg.ExtraOptions = []kgo.Opt{kgo.Dialer(network.dial)}
		return relaytest.Target{
			Sink:      txSink{newSink(t, w.cfg), w.source},
			Topics:    [2]string{dbtest.Topic(t, 4), dbtest.Topic(t, 4)},
			Published: publishedCommitted(brokers),
			Refuse: func(t testing.TB, topic string) func() {
				limit(t, brokers, topic, "100") // the end of a transaction needs 78
				return func() { limit(t, brokers, topic, unlimited) }
			},
			Outage:    func(testing.TB) func() { return network.cut() },
			Rejects:   true,
			Buffer:    2 << 10,
			Patience:  patience,
			KeepsNull: true,
		}
	})
}

// publishedCommitted returns what consumers with read_committed get.
func publishedCommitted(brokers []string) func(testing.TB, string) []relaytest.Message {
	return func(t testing.TB, topic string) []relaytest.Message {
		t.Helper()
		var messages []relaytest.Message
		for _, r := range committed(t, brokers, topic) {
			if len(r.Headers) > 0 { // skip the probes of limit
				messages = append(messages, messageOf(r))
			}
		}
		return messages
	}
}
