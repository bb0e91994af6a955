package conformance

import (
	"context"
	"hash/crc32"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/history"
	"github.com/postroom/postroom/internal/kafkaread"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// kafkaSink is the relay's real sink.
func kafkaSink(t testing.TB) relay.Sink {
	t.Helper()
	sink, err := relaykafka.New(relaykafka.Config{
		Brokers: strings.Split(dbtest.Kafka(t), ","), Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return sink
}

// readTopic returns what a topic holds, each partition in its order.
func readTopic(t testing.TB, topic string) []history.Arrival {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	records, err := kafkaread.Records(ctx, strings.Split(dbtest.Kafka(t), ","), topic, kgo.ReadCommitted())
	require.NoError(t, err)
	var arrived []history.Arrival
	for _, r := range records {
		arrived = append(arrived, parse(t, r))
	}
	return arrived
}

// parse reads an event as any consumer would: id from the header, version from the value.
func parse(t testing.TB, r *kgo.Record) history.Arrival {
	t.Helper()
	e := history.Event{Topic: r.Topic, Key: string(r.Key), Sum: crc32.ChecksumIEEE(r.Value)}
	for _, h := range r.Headers {
		if h.Key == "_watermill_message_uuid" {
			id, err := uuid.Parse(string(h.Value))
			require.NoError(t, err)
			e.ID = id
		}
	}
	require.NotZero(t, e.ID, "partition %d, offset %d has no id", r.Partition, r.Offset)
	version, err := strconv.ParseInt(string(r.Value), 10, 64)
	require.NoError(t, err)
	e.Version = version
	return history.Arrival{Event: e, Partition: r.Partition, Offset: r.Offset, Time: r.Timestamp}
}

// requireFaultless checks the topic against the history, and the history against what the
// database says of each key.
func (w *world) requireFaultless(committed []history.Event, topic string) {
	w.t.Helper()
	versions := make(map[string]int64)
	for _, e := range committed {
		versions[e.Key]++
	}
	rows, err := w.db.DB.QueryContext(context.Background(), "SELECT id, version FROM aggregates")
	require.NoError(w.t, err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var key string
		var version int64
		require.NoError(w.t, rows.Scan(&key, &version))
		require.Equal(w.t, version, versions[key], "the writers' account of %s is not the database's", key)
		delete(versions, key)
	}
	require.NoError(w.t, rows.Err())
	require.Empty(w.t, versions)

	arrived := readTopic(w.t, topic)
	w.t.Logf("%d committed, %d arrived", len(committed), len(arrived))
	for property, found := range history.Check(committed, arrived) {
		w.t.Errorf("%s: %d, such as %v", property, found.Count, found.Offenders[0])
	}
}
