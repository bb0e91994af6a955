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

// A missing topic is not an outage: events for the other topics are delivered.
func TestAMissingTopicIsNamedOnceAndIsNoOutage(t *testing.T) {
	var log strings.Builder
	sink, err := New(Config{Brokers: []string{"127.0.0.1"}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	now := time.Now()
	w := newWatcher(sink.validator, func() {})
	slow, _ := w.topic("ordres")
	list := []waiting{{topic: slow, records: 3, since: now.Add(-outageAfter)}}
	w.report(now, list, map[string]topicAnswer{"ordres": {}}, nil)
	require.ErrorContains(t, w.Outage(), "has not acknowledged 3 records of topic ordres since")
	for range 3 {
		sink.validator.noteMissing("ordres", now)
		sink.validator.logMissing()
	}
	w.report(now, list, map[string]topicAnswer{"ordres": {err: kerr.UnknownTopicOrPartition}}, nil)
	require.NoError(t, w.Outage())
	require.Equal(t, 1, strings.Count(log.String(), "waiting for topic ordres, which Kafka does not know: create it"))
	for i := range 3 {
		sink.validator.noteMissing(fmt.Sprint("other", i), now)
	}
	sink.validator.logMissing()
	require.Contains(t, log.String(), "waiting for topic other0 and 2 more, which Kafka does not know")
}

// A service that makes the names of topics from ids may use any number of names.
func TestTheValidatorKeepsNothingOfNamesThatNoTopicCanHave(t *testing.T) {
	v := newValidator(Config{BatchMaxBytes: 1 << 20})
	for i := range 1000 {
		require.Error(t, v.Validate(&relay.Record{Topic: fmt.Sprintf("orders/%d", i), Key: []byte("k")}))
	}
	require.Zero(t, len(v.topics))
}
