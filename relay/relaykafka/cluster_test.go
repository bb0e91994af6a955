//go:build unix

package relaykafka_test

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/sasl"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/kafkatest"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// source is an outbox in a database of its own, with a relay to a private cluster.
type source struct {
	t       *testing.T
	cluster *kafkatest.Cluster
	db      dbtest.Database
	ob      *outbox.Outbox
	log     *journal
	ended   chan error // result of the relay that was started last
	stop    func() error

	mu      sync.Mutex
	written map[string]map[string][]string // topic → key → values, in order
}

const keysEach = 8

// startSource starts a relay. With a user it uses the secure listener.
func startSource(t *testing.T, cluster *kafkatest.Cluster, user string, lease time.Duration) *source {
	t.Helper()
	s := newSource(t, cluster)
	s.start(user, lease, relay.AtLeastOnce)
	return s
}

func newSource(t *testing.T, cluster *kafkatest.Cluster) *source {
	t.Helper()
	s := &source{
		t: t, cluster: cluster, db: dbtest.Migrate(t, dbtest.SQLite(t)), log: newJournal(),
		written: make(map[string]map[string][]string),
	}
	var err error
	s.ob, err = outbox.New(s.db.Dialect)
	require.NoError(t, err)
	return s
}

// start starts a relay of the source.
func (s *source) start(user string, lease time.Duration, mode relay.Mode) {
	t, cluster := s.t, s.cluster
	t.Helper()
	cfg := relaykafka.WithOutageAfter(
		relaykafka.Config{Brokers: cluster.Brokers(), Logger: slog.New(s.log)}, 4*time.Second,
	)
	if user != "" {
		cfg.Brokers, cfg.SASL = cluster.SecureBrokers(), []sasl.Mechanism{kafkatest.Credentials(user, password)}
	}
	r, err := relay.New(relay.Config{
		DB: s.db.DB, Dialect: s.db.Dialect, Sink: newSink(t, cfg), LeaseTTL: lease, MaxInFlight: 2000,
		RetryMin: 10 * time.Millisecond, RetryMax: 500 * time.Millisecond, Logger: slog.New(s.log), Mode: mode,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	s.ended = ended
	go func() { ended <- r.Run(ctx) }()
	s.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = s.stop() })
}

const password = "secret"

// topic creates a topic. Partition i is on the brokers replicas[i].
func (s *source) topic(name string, settings map[string]string, replicas ...[]int32) {
	s.t.Helper()
	ctx, cancel := s.timed()
	defer cancel()
	require.NoError(s.t, s.cluster.CreateTopic(ctx, name, replicas, settings))
}

func (s *source) timed() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), kafkatest.StartTimeout)
}

// write commits n events for a topic. It uses its keys in turn, and numbers the events of each key.
func (s *source) write(topic string, n int) { s.writeKeys(topic, "k", n) }

func (s *source) writeKeys(topic, prefix string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.written[topic] == nil {
		s.written[topic] = make(map[string][]string)
	}
	var events []outbox.Event
	for i := range n {
		key := fmt.Sprint(prefix, i%keysEach)
		value := fmt.Sprint(len(s.written[topic][key]) + 1)
		s.written[topic][key] = append(s.written[topic][key], value)
		events = append(events, outbox.Event{Topic: topic, Key: key, Type: "t", Payload: []byte(value)})
	}
	tx, err := s.db.DB.BeginTx(context.Background(), nil)
	require.NoError(s.t, err)
	require.NoError(s.t, s.ob.Add(context.Background(), tx, events...))
	require.NoError(s.t, tx.Commit())
}

// keepWriting writes to the topics until the returned function is called.
func (s *source) keepWriting(topics ...string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var writer sync.WaitGroup
	writer.Go(func() {
		pause := time.NewTicker(50 * time.Millisecond)
		defer pause.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-pause.C:
				for _, topic := range topics {
					s.write(topic, keysEach)
				}
			}
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		writer.Wait()
	})
	s.t.Cleanup(stop)
	return stop
}

func (s *source) rows(table, topic string) (n int) {
	s.t.Helper()
	require.NoError(
		s.t,
		s.db.DB.QueryRowContext(context.Background(), "SELECT COUNT(*) FROM "+table+" WHERE topic = ?", topic).Scan(&n),
	)
	return n
}

// drained waits until no event for the topic is left.
func (s *source) drained(topic string) {
	s.t.Helper()
	s.until("nothing waits for "+topic, func() bool { return s.rows("outbox_events", topic) == 0 })
}

func (s *source) until(what string, holds func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(kafkatest.StartTimeout)
	for !holds() {
		if time.Now().After(deadline) {
			require.FailNow(
				s.t, "it takes too long", "until %s; the log:\n%s", what, strings.Join(s.log.with(""), "\n"),
			)
		}
		pause := time.NewTimer(10 * time.Millisecond)
		<-pause.C
	}
}

// told waits for a log line with one of these texts.
func (s *source) told(texts ...string) {
	s.t.Helper()
	s.until("the log says: "+strings.Join(texts, ", or "), func() bool {
		for _, text := range texts {
			if len(s.log.with(text)) > 0 {
				return true
			}
		}
		return false
	})
}

// resumed waits until the last log line says that delivery goes on.
func (s *source) resumed() {
	s.t.Helper()
	s.until("delivery goes on", func() bool {
		return len(s.log.with("delivery resumed")) == len(s.log.with("delivery paused"))
	})
}

// arrived returns the records of a topic, by key and in order.
func (s *source) arrived(topic string) map[string][]string {
	s.t.Helper()
	return valuesByKey(consume(s.t, topic, s.cluster.Brokers()...))
}

// requireFaultless checks that every event arrived once, in the order of its key.
func (s *source) requireFaultless(topic string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	arrived := s.arrived(topic)
	for key, values := range s.written[topic] {
		require.Equal(
			s.t, values, arrived[key], "topic %s, key %s; the log:\n%s", topic, key, strings.Join(s.log.with(""), "\n"),
		)
	}
	require.Len(s.t, arrived, len(s.written[topic]))
}

// ofTopics matches log lines about topics or about the relay as a whole, which are not about delivery.
var ofTopics = regexp.MustCompile(`lease claimed|drained|waiting for topic|is there now|have no leader|` +
	`has a leader again|` +
	`cannot be reached from here|can be reached again|delivery is still paused|sources are (not )?spread`)

// requireOutagesTold checks that the log has one line for each change of state, and no other line. On a busy
// machine a broker may fail more than once.
func (s *source) requireOutagesTold() {
	s.t.Helper()
	wanted := "delivery paused"
	for _, line := range s.log.with("") {
		if ofTopics.MatchString(line) {
			continue
		}
		require.Contains(s.t, line, wanted, "the log:\n%s", strings.Join(s.log.with(""), "\n"))
		if wanted == "delivery paused" {
			wanted = "delivery resumed"
		} else {
			wanted = "delivery paused"
		}
	}
	require.Equal(s.t, "delivery paused", wanted, "the last outage is over")
}

func allowAll(t *testing.T, cluster *kafkatest.Cluster, user string, topics ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), kafkatest.StartTimeout)
	defer cancel()
	require.NoError(t, cluster.SetUser(ctx, user, password))
	for _, topic := range topics {
		require.NoError(t, cluster.Allow(ctx, user, topic, kadm.OpWrite, kadm.OpDescribe, kadm.OpDescribeConfigs))
	}
}
