package inboxkafka_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
)

// patience is for a machine that is loaded.
const patience = 60 * time.Second

// world is a topic on the real broker, and a database with a table of effects.
type world struct {
	dbtest.Database
	topic    string
	brokers  []string
	producer *kgo.Client
}

func newWorld(t *testing.T, db dbtest.Database, partitions int) world {
	t.Helper()
	return newWorldAt(t, db, strings.Split(dbtest.Kafka(t), ","), dbtest.Topic(t, partitions))
}

// newWorldAt is newWorld with a topic of another cluster.
func newWorldAt(t *testing.T, db dbtest.Database, brokers []string, topic string) world {
	t.Helper()
	w := world{Database: dbtest.Migrate(t, db), topic: topic, brokers: brokers}
	w.makeEffects(t)
	var err error
	w.producer, err = kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MetadataMinAge(100*time.Millisecond),
		kgo.ProducerBatchMaxBytes(32<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
	require.NoError(t, err)
	t.Cleanup(w.producer.Close)
	return w
}

// makeEffects makes the table that handlers write to.
func (w world) makeEffects(t *testing.T) {
	t.Helper()
	seq := map[db.Dialect]string{
		db.PostgreSQL: "integer GENERATED ALWAYS AS IDENTITY", db.MySQL: "integer AUTO_INCREMENT PRIMARY KEY",
		db.SQLite: "integer PRIMARY KEY AUTOINCREMENT",
	}[w.Dialect]
	_, err := w.DB.ExecContext(t.Context(), "CREATE TABLE effects (seq "+seq+", message_id varchar(255) NOT NULL, "+
		"event_key text, kafka_offset bigint)")
	require.NoError(t, err)
}

// sql puts the dialect's placeholders where the question marks are.
func (w world) sql(query string) string {
	for n := 1; w.Dialect == db.PostgreSQL && strings.Contains(query, "?"); n++ {
		query = strings.Replace(query, "?", fmt.Sprint("$", n), 1)
	}
	return query
}

// produce writes records of Watermill's wire to a partition: id, and key before a colon if any.
func (w world) produce(t *testing.T, partition int32, ids ...string) {
	t.Helper()
	records := make([]*kgo.Record, len(ids))
	for i, id := range ids {
		records[i] = w.record(partition, id)
	}
	require.NoError(t, w.producer.ProduceSync(t.Context(), records...).FirstErr())
}

func (w world) record(partition int32, id string) *kgo.Record {
	r := &kgo.Record{Topic: w.topic, Partition: partition, Value: []byte("v")}
	if key, _, ok := strings.Cut(id, ":"); ok {
		r.Key = []byte(key)
	}
	if id != "" {
		r.Headers = []kgo.RecordHeader{{Key: "_watermill_message_uuid", Value: []byte(id)}}
	}
	return r
}

func (w world) inbox(t *testing.T, opts ...inbox.Option) *inbox.Inbox {
	t.Helper()
	return w.named(t, "billing", opts...)
}

// named is the inbox of another consumer: in one process a name has one database.
func (w world) named(t *testing.T, consumer string, opts ...inbox.Option) *inbox.Inbox {
	t.Helper()
	ib, err := inbox.New(w.Dialect, consumer, append(
		[]inbox.Option{inbox.WithBackoff(time.Millisecond, 10*time.Millisecond),
			inbox.WithLogger(quiet())}, opts...)...)
	require.NoError(t, err)
	return ib
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// told is a logger whose lines are the test's if it fails.
func told(t *testing.T) *slog.Logger {
	log := newLog()
	t.Cleanup(func() {
		for _, line := range log.all() {
			if t.Failed() {
				t.Log(line.at.Format("15:04:05.000"), line.message, line.attrs)
			}
		}
	})
	return log.logger()
}

func (w world) config(t *testing.T, mode inboxkafka.Mode) inboxkafka.Config {
	t.Helper()
	return inboxkafka.Config{
		Inbox: w.inbox(t), DB: w.DB, Brokers: w.brokers, Group: w.topic, Topics: []string{w.topic}, Mode: mode,
		Logger:      told(t),
		ReplayEvery: -1, Options: []kgo.Opt{kgo.FetchMaxWait(50 * time.Millisecond)},
	}
}

// running is a Run in the background.
type running struct {
	stop func()
	done chan error
}

func start(t *testing.T, run func(ctx context.Context) error) running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := running{stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- run(ctx) }()
	t.Cleanup(func() {
		if t.Failed() && len(r.done) > 0 {
			t.Log("Run had returned", <-r.done)
		}
		cancel()
	})
	return r
}

func (r running) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.done:
		r.done <- err
		return err
	case <-time.After(patience):
		require.FailNow(t, "Run has not returned")
		return nil
	}
}

// end stops it, and asks for a clean end.
func (r running) end(t *testing.T) {
	t.Helper()
	r.stop()
	require.NoError(t, r.wait(t))
}

func consume(t *testing.T, cfg inboxkafka.Config, h inbox.Handler) running {
	t.Helper()
	c, err := inboxkafka.New(cfg)
	require.NoError(t, err)
	return start(t, func(ctx context.Context) error { return c.Run(ctx, h) })
}

// effect writes a row that tells what was handled, and where.
func (w world) effect(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
	_, err := tx.ExecContext(ctx, w.sql("INSERT INTO effects (message_id, event_key, kafka_offset) VALUES (?, ?, ?)"),
		m.ID, m.Key, m.Position.Offset)
	return err
}

func (w world) effects(t *testing.T) []string {
	t.Helper()
	rows, err := w.DB.QueryContext(t.Context(), "SELECT message_id FROM effects ORDER BY seq")
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	var ids []string
	for rows.Next() {
		var id string
		require.NoError(t, rows.Scan(&id))
		ids = append(ids, id)
	}
	require.NoError(t, rows.Err())
	return ids
}

// awaitEffects waits until n rows are there.
func (w world) awaitEffects(t *testing.T, n int) []string {
	t.Helper()
	require.Eventually(t, func() bool { return w.count(t, "SELECT count(*) FROM effects") >= n }, patience,
		20*time.Millisecond, "%d effects", n)
	return w.effects(t)
}

func (w world) count(t *testing.T, query string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, w.DB.QueryRowContext(t.Context(), w.sql(query), args...).Scan(&n))
	return n
}

func (w world) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	_, err := w.DB.ExecContext(t.Context(), w.sql(statement), args...)
	require.NoError(t, err)
}

// recreate deletes the topic and makes it again.
func (w world) recreate(t *testing.T) {
	t.Helper()
	w.deleteTopic(t)
	w.createTopic(t)
	w.producer.PurgeTopicsFromClient(w.topic)
}

func (w world) deleteTopic(t *testing.T) {
	t.Helper()
	_, err := kadm.NewClient(w.producer).DeleteTopic(context.Background(), w.topic)
	require.NoError(t, err)
}

// createTopic makes the topic with one partition, as soon as one of its name is gone, and waits until a broker that is
// asked tells of the new one: a producer that learns the old one's id is refused for good (UNKNOWN_TOPIC_ID).
func (w world) createTopic(t *testing.T) {
	t.Helper()
	var id kadm.TopicID
	require.Eventually(t, func() bool {
		made, err := kadm.NewClient(w.producer).CreateTopic(t.Context(), 1, 1, nil, w.topic)
		id = made.ID
		return err == nil
	}, patience, 50*time.Millisecond)
	request := kmsg.NewPtrMetadataRequest()
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = kmsg.StringPtr(w.topic)
	request.Topics = append(request.Topics, asked)
	require.Eventually(t, func() bool {
		told, err := request.RequestWith(t.Context(), w.producer)
		return err == nil && told.Topics[0].ErrorCode == 0 && told.Topics[0].TopicID == [16]byte(id)
	}, patience, 50*time.Millisecond)
}

var allModes = []inboxkafka.Mode{inboxkafka.PerMessage, inboxkafka.Batch, inboxkafka.OffsetsInDatabase}

// eachModeAndServer runs fn in each mode on a database of its own of PostgreSQL and of MariaDB.
func eachModeAndServer(t *testing.T, fn func(t *testing.T, db dbtest.Database, mode inboxkafka.Mode)) {
	t.Helper()
	for _, mode := range allModes {
		for flavor, open := range map[string]func(testing.TB) dbtest.Database{
			dbtest.FlavorPostgreSQL15: dbtest.PostgreSQL, dbtest.FlavorMariaDB: dbtest.MariaDB,
		} {
			t.Run(string(mode)+" on "+flavor, func(t *testing.T) {
				t.Parallel()
				fn(t, open(t), mode)
			})
		}
	}
}

func ids(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s%03d", prefix, i)
	}
	return all
}
