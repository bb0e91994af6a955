package relaykafka_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/internal/kafkaread"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
	"github.com/postroom/postroom/relay/relaytest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// sarama starts it once for the process, for the stock subscriber.
		goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

const patience = 30 * time.Second

func fakeKafka(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return cluster
}

// quiet keeps the expected log lines about outages out of the tests' output.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newSink(t testing.TB, cfg relaykafka.Config) *relaykafka.Sink {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet()
	}
	sink, err := relaykafka.New(cfg)
	require.NoError(t, err)
	return sink
}

// outage makes the cluster close every connection on which a record is produced, until restore is called.
func outage(cluster *kfake.Cluster) (restore func()) {
	var over atomic.Bool
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		if over.Load() {
			cluster.DropControl()
			return nil, nil, false
		}
		cluster.KeepControl()
		return nil, errors.New("the broker is away"), true
	})
	return func() { over.Store(true) }
}

// consume reads all records of a topic.
func consume(t testing.TB, topic string, brokers ...string) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	records, err := kafkaread.Records(ctx, brokers, topic, kgo.ReadUncommitted())
	require.NoError(t, err)
	return records
}

func published(brokers []string) func(testing.TB, string) []relaytest.Message {
	return func(t testing.TB, topic string) []relaytest.Message {
		t.Helper()
		var messages []relaytest.Message
		for _, r := range consume(t, topic, brokers...) {
			messages = append(messages, messageOf(r))
		}
		return messages
	}
}

func messageOf(r *kgo.Record) relaytest.Message {
	m := relaytest.Message{Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, relay.Header{Name: h.Key, Value: string(h.Value)})
	}
	return m
}

// answers collects acknowledgements, and lets a test wait for them.
type answers struct {
	mu      sync.Mutex
	errs    map[int64][]error
	changed chan struct{}
}

func newAnswers() *answers {
	return &answers{errs: make(map[int64][]error), changed: make(chan struct{})}
}

func (a *answers) ack(r *relay.Record, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.errs[r.ID] = append(a.errs[r.ID], err)
	close(a.changed)
	a.changed = make(chan struct{})
}

func (a *answers) has(r *relay.Record) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.errs[r.ID]) > 0
}

// wait waits for all the records, and returns their answers in order.
func (a *answers) wait(t testing.TB, records ...*relay.Record) []error {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		a.mu.Lock()
		got, changed := make([]error, 0, len(records)), a.changed
		for _, r := range records {
			if list := a.errs[r.ID]; len(list) > 0 {
				require.Len(t, list, 1, "acknowledgements of row %d", r.ID)
				got = append(got, list[0])
			}
		}
		a.mu.Unlock()
		if len(got) == len(records) {
			return got
		}
		select {
		case <-changed:
		case <-timeout.C:
			require.FailNow(t, "not acknowledged", "%d of %d", len(records)-len(got), len(records))
		}
	}
}

func record(id int64, topic, key string, payload []byte) *relay.Record {
	r := &relay.Record{ID: id, EventID: uuid.New(), Topic: topic, Type: "t", Payload: payload, CreatedAt: time.Now()}
	if key != "" {
		r.Key = []byte(key)
	}
	return r
}

func numbered(first int64, n, keys int, topic string) []*relay.Record {
	list := make([]*relay.Record, n)
	for i := range list {
		list[i] = record(first+int64(i), topic, fmt.Sprintf("k%d", i%keys), fmt.Appendf(nil, "%d", first+int64(i)))
	}
	return list
}
