package relaykafka_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// A stop ends a Deliver that waits for room. The records that the client has are sent in the time that the
// relay gives them. If they were given up, the stop would end with relay.ErrNotDrained.
func TestAStoppedDeliverTakesNoMoreAndSendsWhatItTook(t *testing.T) {
	cluster := fakeKafka(t, kfake.SeedTopics(1, "orders"))
	sink := newSink(
		t, relaykafka.Config{Brokers: cluster.ListenAddrs(), MaxBufferedBytes: 4 << 10, ExtraOptions: shortTimeouts()},
	)
	got := newAnswers()
	restore := outage(cluster)
	session, err := sink.Open(t.Context(), got.ack)
	require.NoError(t, err)
	defer session.Close()
	records := numbered(1, 50, 5, "orders")
	stopped, stop := context.WithCancel(t.Context())
	stop()
	session.Deliver(stopped, records) // accepts records while there is room, and waits for nothing
	late := record(51, "orders", "k0", []byte("51"))
	session.Deliver(t.Context(), []*relay.Record{late})
	require.ErrorIs(t, got.wait(t, late)[0], relay.ErrGivenUp, "it must not overtake what was not taken")
	restore()
	taken := 0
	for i, err := range got.wait(t, records...) {
		if err == nil {
			require.Equal(t, taken, i, "a record was left out before this one")
			taken++
			continue
		}
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Positive(t, taken)
	require.Less(t, taken, len(records))
	require.Len(t, consume(t, "orders", cluster.ListenAddrs()...), taken)
}
