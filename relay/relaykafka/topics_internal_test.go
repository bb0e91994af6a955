package relaykafka

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Half a minute passes before a topic that Kafka denies is given up. What is said
// meanwhile must not look like a broker that is away.
func TestWhoWaitsForATopicThatDoesNotExistSaysSo(t *testing.T) {
	sink, err := New(Config{Brokers: []string{"127.0.0.1"}})
	require.NoError(t, err)
	now := time.Now()
	sink.judge.unknown("ordres", now)
	w := newWatcher(sink.judge, func() {})
	slow, _ := w.topic("ordres")
	denied := map[string]topicAnswer{"ordres": {err: kerr.UnknownTopicOrPartition}}
	w.report(now, []waiting{{topic: slow, records: 3, since: now.Add(-outageAfter / 2)}}, denied, nil)
	require.NoError(t, w.Waiting(), "too soon")
	w.report(now, []waiting{{topic: slow, records: 3, since: now.Add(-outageAfter)}}, denied, nil)
	require.ErrorContains(t, w.Waiting(), "has not acknowledged 3 records of topic ordres since")
	require.ErrorContains(t, w.Waiting(), "the topic does not exist")
	require.ErrorContains(t, w.Waiting(), "create it, or use --create-topics")
	w.report(now, nil, nil, nil)
	require.NoError(t, w.Waiting(), "it is over")
}
