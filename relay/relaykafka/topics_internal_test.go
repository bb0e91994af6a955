package relaykafka

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Half a minute passes before a topic that Kafka denies is given up. What is logged
// meanwhile must not look like a broker that is away.
func TestTheLogSaysThatAWaitingTopicDoesNotExist(t *testing.T) {
	var log bytes.Buffer
	sink, err := New(Config{Brokers: []string{"127.0.0.1"}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	s := newSession(sink, nil)
	defer s.end()
	now := time.Now()
	waiting := &topic{name: "ordres", stuck: now.Add(-outageAfter)}
	sink.denials.deny(waiting.name, now)

	w := watcher{session: s}
	w.report(now, []*topic{waiting}, nil)
	require.Contains(t, log.String(), "topic ordres does not exist")
	require.Contains(t, log.String(), "create it, or use --create-topics")

	log.Reset()
	w.report(now, []*topic{waiting}, nil)
	require.Empty(t, log.String(), "it is said once")
}
