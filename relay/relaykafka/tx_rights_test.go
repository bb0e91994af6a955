package relaykafka_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/postroom/postroom/relay"
)

// A right is removed while the relay runs. That says nothing about the records: they are not rejected, and
// the error names the right. After it is granted again, each record is sent once.
func TestARightThatIsTakenAwayInMidRunIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		key    kmsg.Key
		answer *kerr.Error
		says   string
	}{
		"to write with the transactional id": {
			kmsg.Produce, kerr.TransactionalIDAuthorizationFailed, "Write and Describe on its transactional ids",
		},
		"to end its transactions": {
			kmsg.EndTxn, kerr.TransactionalIDAuthorizationFailed, "Write and Describe on its transactional ids",
		},
		"on the cluster, before Kafka 3.0": {
			kmsg.Produce, kerr.ClusterAuthorizationFailed, "IdempotentWrite on the cluster",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, cluster := fakeTx(t, kfake.SeedTopics(1, "orders"))
			records := numbered(1, 20, 7, "orders")
			turn := w.open(nil)
			turn.commit(records[:10]...)
			cluster.Fault(kfake.Fault{Keys: []kmsg.Key{c.key}, Err: c.answer, Count: 1})
			for _, err := range turn.deliver(records[10:]...) {
				require.NotErrorIs(t, err, relay.ErrRejected)
				require.NotErrorIs(t, err, relay.ErrFenced)
				require.ErrorIs(t, err, c.answer)
				require.ErrorContains(t, err, c.says)
			}
			turn.Close()

			turn = w.open(nil)
			require.Equal(t, sentOf(records[:10]...), turn.sent())
			turn.commit(records[10:]...)
			require.Equal(t, wantedIDs(records...), eventIDs(committed(t, w.brokers, "orders")))
		})
	}
}
