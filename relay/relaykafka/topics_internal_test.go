package relaykafka

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/postroom/postroom/relay"
)

// A topic that is missing is no outage: the others are delivered.
func TestAMissingTopicIsNamedOnceAndIsNoOutage(t *testing.T) {
	var log strings.Builder
	sink, err := New(Config{Brokers: []string{"127.0.0.1"}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	now := time.Now()
	w := newWatcher(sink.judge, func() {})
	slow, _ := w.topic("ordres")
	list := []waiting{{topic: slow, records: 3, since: now.Add(-outageAfter)}}
	w.report(now, list, map[string]topicAnswer{"ordres": {}}, nil)
	require.ErrorContains(t, w.Outage(), "has not acknowledged 3 records of topic ordres since")
	for range 3 {
		sink.judge.unknown("ordres", now)
		sink.judge.tellMissing()
	}
	w.report(now, list, map[string]topicAnswer{"ordres": {err: kerr.UnknownTopicOrPartition}}, nil)
	require.NoError(t, w.Outage())
	require.Equal(t, 1, strings.Count(log.String(), "waiting for topic ordres, which Kafka does not know: create it"))
	for i := range 3 {
		sink.judge.unknown(fmt.Sprint("other", i), now)
	}
	sink.judge.tellMissing()
	require.Contains(t, log.String(), "waiting for topic other0 and 2 more, which Kafka does not know")
}

// A service that makes topics' names of ids may make any number of them.
func TestTheJudgeKeepsNothingOfNamesThatNoTopicCanHave(t *testing.T) {
	j := newJudge(Config{BatchMaxBytes: 1 << 20})
	for i := range 1000 {
		require.Error(t, j.Validate(&relay.Record{Topic: fmt.Sprintf("orders/%d", i), Key: []byte("k")}))
	}
	require.Zero(t, len(j.topics))
}
