package backfill_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/inbox/replica"
	"github.com/postroom/postroom/internal/cli"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/outbox/backfill"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

const (
	replicaPartitions = 4
	messageID         = "_watermill_message_uuid"
	copyMark          = "copied" // a header of what the copier sent
	// copiesAtOnce are sent out of order: a copy comes up to so many later.
	copiesAtOnce = 2000
)

// Hazard resurrected-row.
// The whole way, on real servers: rows that change, come and go on PostgreSQL while a
// backfill runs, is cut off, and is gone on with by the command; a relay; Kafka; a consumer
// that keeps the replica on MariaDB. Half of what the relay sends is there again later, in
// any partition: half of these copies with their own id, which the inbox drops, half with another, which
// only the replica's versions hold off. In the end `relay compare` finds the two equal, and then
// what the test plants.
func TestAReplicaOverKafkaEndsEqualToASourceThatIsWrittenMeanwhile(t *testing.T) {
	t.Parallel()
	start := time.Now()
	tell := func(format string, args ...any) {
		t.Logf("%s: "+format, append([]any{time.Since(start).Round(time.Millisecond)}, args...)...)
	}
	topic := dbtest.Topic(t, replicaPartitions)
	shop := newSource(t, topic)
	billing := dbtest.Migrate(t, dbtest.MariaDB(t))
	exec(t, billing.DB, "CREATE TABLE copies (id bigint PRIMARY KEY, name varchar(100))")
	c := startCopier(t, topic)
	r := startReplica(t, billing, topic)
	endRelay := startRelay(t, shop)
	tell("%d rows", shop.rows)

	endWrites := shop.write(t)
	sent := shop.backfill(t)
	endWrites()
	tell("%d rows backfilled beside two writers", sent)
	require.Eventually(
		t, func() bool { return count(t, shop.Database, "SELECT count(*) FROM outbox_events") == 0 }, replicaPatience,
		50*time.Millisecond,
	)
	endRelay()
	events, copies := c.finish(t)
	require.Greater(t, events-sent, int64(100), "the writers wrote")
	require.Greater(t, copies*100, 30*(events+copies), "three deliveries in ten are copies")
	tell("%d events relayed, %d copies", events, copies)
	awaitGroup(t, topic)
	tell("all consumed")
	tidied, err := r.Tidy(t.Context(), billing.DB, replica.TidyOptions{})
	require.NoError(t, err)
	require.Empty(t, tidied.Waiting, "all of the backfill has come")

	code, said := shop.command(
		t, billing, "SELECT id, name FROM customers", "compare", "--table", "copies", "--key", "id", "--wait", "1ms",
	)
	require.Zero(t, code, said)
	tell("relay compare: %s", said)
	rows := count(t, shop.Database, "SELECT count(*) FROM customers")
	require.Contains(t, said, "replica: "+strconv.Itoa(rows)+" rows; in flight: 0; different: 0")

	exec(t, billing.DB, "UPDATE copies SET name = 'planted' ORDER BY id LIMIT 1")
	code, said = shop.command(
		t, billing, "SELECT id, name FROM customers", "compare", "--table", "copies", "--key", "id", "--wait", "1ms",
	)
	require.Equal(t, 3, code, said)
	require.Contains(t, said, "different: 1")
}

const replicaPatience = 10 * time.Minute

// backfill sends the rows: the first chunks by the Go call, the rest by the command.
func (s source) backfill(t *testing.T) (sent int64) {
	t.Helper()
	cutting, cut := context.WithCancel(t.Context())
	defer cut()
	first, err := backfill.Run(cutting, s.DB, s.Dialect, backfill.Config{
		Name: "customers", Query: s.of(query["postgresql"]), Position: "id",
		Progress: func(p backfill.Progress) {
			if p.Chunks == 3 {
				cut()
			}
		}})
	require.ErrorIs(t, err, context.Canceled)
	code, said := s.command(
		t, s.Database, s.of(query["postgresql"]), "backfill", "--name", "customers", "--position", "id",
	)
	require.Zero(t, code, said)
	require.Contains(t, said, "run "+first.RunID+": ")
	lines := strings.Split(strings.TrimSpace(said), "\n")
	last, finished := strings.CutSuffix(lines[len(lines)-1], " rows sent; finished")
	require.True(t, finished, lines[len(lines)-1])
	sent, err = strconv.ParseInt(last[strings.LastIndex(last, " ")+1:], 10, 64)
	require.NoError(t, err)
	return sent
}

// command runs the relay command with a query in a file, and returns its exit code and what it printed.
func (s source) command(t *testing.T, inbox dbtest.Database, query string, args ...string) (code int, said string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "query.sql")
	require.NoError(t, os.WriteFile(file, []byte(query), 0o600))
	var out bytes.Buffer
	code = cli.Main(cli.Env{
		Args:    append(args, "--query-file", file),
		Environ: []string{"POSTROOM_DATABASE_URL=" + s.URL, "POSTROOM_INBOX_DATABASE_URL=" + inbox.URL},
		Stdout:  &out, Stderr: &out,
	})
	return code, out.String()
}

// background runs fn until the function that it returns is called, and asks for a clean end.
func background(t *testing.T, fn func(ctx context.Context) error) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- fn(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(end)
	return end
}

func startRelay(t *testing.T, s source) (end func()) {
	t.Helper()
	sink, err := relaykafka.New(relaykafka.Config{Brokers: strings.Split(dbtest.Kafka(t), ",")})
	require.NoError(t, err)
	r, err := relay.New(relay.Config{DB: s.DB, Dialect: s.Dialect, Sink: sink})
	require.NoError(t, err)
	return background(t, r.Run)
}

func startReplica(t *testing.T, db dbtest.Database, topic string) *replica.Replica {
	t.Helper()
	r, err := replica.New(db.Dialect, replica.Config{Table: "copies", Key: []string{"id"}, Columns: []string{"name"}})
	require.NoError(t, err)
	ib, err := inbox.New(db.Dialect, "billing")
	require.NoError(t, err)
	consumer, err := inboxkafka.New(inboxkafka.Config{
		Inbox: ib, DB: db.DB, Brokers: strings.Split(dbtest.Kafka(t), ","), Group: topic, Topics: []string{topic},
	})
	require.NoError(t, err)
	background(t, func(ctx context.Context) error { return consumer.RunBatch(ctx, r.BatchHandler(nil)) })
	return r
}

// copier sends half of a topic's records once more, behind others and to any partition.
type copier struct {
	client         *kgo.Client
	topic          string
	pause          func()
	waiting        []*kgo.Record
	read           [replicaPartitions]int64 // the next offset
	events, copies int64
}

func startCopier(t *testing.T, topic string) *copier {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(dbtest.Kafka(t), ",")...), kgo.ConsumeTopics(topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.FetchMaxWait(100*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	c := &copier{client: client, topic: topic}
	c.pause = background(t, func(ctx context.Context) error {
		for ctx.Err() == nil {
			if err := c.poll(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	return c
}

// finish copies until it has seen everything that is in the topic, and returns how much that is.
// Call it when the relay has ended.
func (c *copier) finish(t *testing.T) (events, copies int64) {
	t.Helper()
	c.pause()
	ends, err := kadm.NewClient(c.client).ListEndOffsets(t.Context(), c.topic)
	require.NoError(t, err)
	require.NoError(t, ends.Error())
	for p := range int32(replicaPartitions) {
		end, _ := ends.Lookup(c.topic, p)
		for c.read[p] < end.Offset {
			require.NoError(t, c.poll(t.Context()))
		}
	}
	require.NoError(t, c.flush())
	return c.events, c.copies
}

func (c *copier) poll(ctx context.Context) error {
	fetches := c.client.PollFetches(ctx)
	if ctx.Err() == nil && fetches.Err() != nil {
		return fetches.Err()
	}
	fetches.EachRecord(func(r *kgo.Record) {
		c.read[r.Partition] = r.Offset + 1
		if r.Headers[len(r.Headers)-1].Key == copyMark {
			return
		}
		c.events++
		if rand.IntN(2) == 0 {
			c.waiting = append(c.waiting, copyOf(r))
		}
	})
	if len(c.waiting) < copiesAtOnce {
		return nil
	}
	return c.flush()
}

func (c *copier) flush() error {
	rand.Shuffle(len(c.waiting), func(i, j int) { c.waiting[i], c.waiting[j] = c.waiting[j], c.waiting[i] })
	err := c.client.ProduceSync(context.Background(), c.waiting...).FirstErr()
	c.copies += int64(len(c.waiting))
	c.waiting = c.waiting[:0]
	return err
}

func copyOf(r *kgo.Record) *kgo.Record {
	headers := make([]kgo.RecordHeader, len(r.Headers), len(r.Headers)+1)
	another := rand.IntN(2) == 0
	for i, h := range r.Headers {
		if h.Key == messageID && another {
			h.Value = []byte(uuid.NewString())
		}
		headers[i] = h
	}
	return &kgo.Record{Topic: r.Topic, Partition: rand.Int32N(replicaPartitions), Key: r.Key, Value: r.Value,
		Headers: append(headers, kgo.RecordHeader{Key: copyMark})}
}

// awaitGroup waits until the consumer has committed the end of every partition.
func awaitGroup(t *testing.T, topic string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(dbtest.Kafka(t), ",")...))
	require.NoError(t, err)
	defer client.Close()
	admin := kadm.NewClient(client)
	require.Eventually(t, func() bool {
		ends, err := admin.ListEndOffsets(t.Context(), topic)
		require.NoError(t, err)
		at, err := admin.FetchOffsets(t.Context(), topic)
		require.NoError(t, err)
		for p := range int32(replicaPartitions) {
			end, _ := ends.Lookup(topic, p)
			committed, ok := at.Lookup(topic, p)
			if end.Offset > 0 && (!ok || committed.At < end.Offset) {
				return false
			}
		}
		return true
	}, replicaPatience, 100*time.Millisecond)
}
