package kittest

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// Patience is how long a test waits for what must happen. It says nothing of speed: a busy machine with the race
// detector takes most of a minute to start the whole shop.
const Patience = 3 * time.Minute

// Quiet is a logger for what a test does not look at.
func Quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// Do sends a request to a handler. Headers are names and values in turn. A POST gets an Idempotency-Key of its own
// unless the headers have one.
func Do(h http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Idempotency-Key", uuid.NewString())
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Run runs the parts until the test ends, and requires that none fails.
func Run(t testing.TB, parts ...func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- kit.Run(ctx, parts...) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
}

// Relay relays a service's outbox to Kafka until the test ends.
func Relay(t testing.TB, db *kit.DB, kafka kit.Kafka) {
	t.Helper()
	sink, err := relaykafka.New(relaykafka.Config{Brokers: kafka.Brokers, Logger: Quiet()})
	require.NoError(t, err)
	r, err := relay.New(relay.Config{DB: db.SQL, Dialect: db.Dialect, Sink: sink, Logger: Quiet()})
	require.NoError(t, err)
	Run(t, r.Run)
}

// Event is an event as a consumer gets it.
type Event struct {
	ID, Key, Type string
	Body          []byte
}

// Into reads the body.
func (e Event) Into(t testing.TB, v any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(e.Body, v), string(e.Body))
}

// Events waits for n events on a topic and returns them. The order within a key is that of the topic.
func Events(t testing.TB, kafka kit.Kafka, topic string, n int) (events []Event) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.Brokers...), kgo.ConsumeTopics(kafka.Topic(topic)),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	for len(events) < n {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err(), "%d of %d events arrived", len(events), n)
		fetches.EachRecord(func(r *kgo.Record) {
			events = append(events, Event{
				ID: header(r, relay.HeaderMessageUUID), Key: string(r.Key), Type: header(r, "name"), Body: r.Value,
			})
		})
	}
	return events
}

func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// Send publishes an event as another service's relay would. Its id is made from all its arguments: the same call again
// is the same event again, as after a crash of the relay.
func Send(t testing.TB, kafka kit.Kafka, topic, key, eventType string, body any) {
	t.Helper()
	payload, err := json.Marshal(body)
	require.NoError(t, err)
	id := uuid.NewSHA1(uuid.NameSpaceOID, []byte(topic+"\n"+key+"\n"+eventType+"\n"+string(payload)))
	SendAs(t, kafka, id.String(), topic, key, eventType, payload)
}

// SendAs is Send with an id of the caller's.
func SendAs(t testing.TB, kafka kit.Kafka, id, topic, key, eventType string, payload []byte) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.Brokers...))
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{
		Topic: kafka.Topic(topic), Key: []byte(key), Value: payload, Headers: []kgo.RecordHeader{
			{Key: relay.HeaderMessageUUID, Value: []byte(id)}, {Key: "name", Value: []byte(eventType)},
		},
	}).FirstErr())
}
