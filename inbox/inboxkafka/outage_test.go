//go:build unix

package inboxkafka_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/kafkatest"
	"github.com/postroom/postroom/internal/servertest"
)

// outage is a consumer that is in the middle of a handler whenever something happens. Its
// messages have one attempt: one that is burnt parks its message.
type outage struct {
	world
	running
	begun chan struct{} // a message that waits is in its handler
	goOn  chan struct{}
	want  []string
}

func (w world) startOutage(t *testing.T, mode inboxkafka.Mode) *outage {
	t.Helper()
	o := &outage{world: w, begun: make(chan struct{}, 10), goOn: make(chan struct{}, 10)}
	cfg := w.config(t, mode)
	cfg.Inbox = w.inbox(t, inbox.WithMaxAttempts(1))
	cfg.OnOutcome = func(m inbox.Message, outcome inbox.Outcome) {
		if outcome == inbox.Parked {
			t.Errorf("%s: %s was parked", mode, m.ID)
		}
	}
	var waited sync.Map
	o.running = consume(t, cfg, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		if _, before := waited.LoadOrStore(m.ID, true); strings.HasPrefix(m.ID, "waits") && !before {
			o.begun <- struct{}{}
			select {
			case <-o.goOn:
			case <-ctx.Done():
			}
		}
		return w.effect(ctx, tx, m)
	})
	return o
}

// send produces messages, one of which waits in its handler.
func (o *outage) send(t *testing.T, step string) {
	t.Helper()
	all := append(append(ids(step+"-before", 20), "waits "+step), ids(step+"-after", 20)...)
	o.produce(t, 0, all...)
	o.want = append(o.want, all...)
}

// arrives waits until all that was sent has taken effect, once and in order.
func (o *outage) arrives(t *testing.T) {
	t.Helper()
	require.Equal(t, o.want, o.awaitEffects(t, len(o.want)))
}

func (o *outage) finish(t *testing.T) {
	t.Helper()
	o.end(t)
	require.Equal(t, o.want, o.effects(t))
	require.EqualValues(t, len(o.want), o.committed(t))
	require.Zero(t, o.count(t, "SELECT count(*) FROM inbox_parked"))
	require.Zero(t, o.count(t, "SELECT count(*) FROM inbox_attempts"))
}

// The database goes down in the middle of handlers and comes back, and so does Kafka: in each mode nothing is
// lost, no attempt is burnt, and the consumer goes on by itself.
func TestOutagesAreRiddenOut(t *testing.T) {
	cluster := kafkatest.Start(t, kafkatest.Options{Nodes: 1})
	server := servertest.NewPostgreSQL(t)
	admin := servertest.Open(t, server.URL)
	consumers := make(map[inboxkafka.Mode]*outage)
	for n, mode := range allModes {
		name := fmt.Sprint("mode", n)
		_, err := admin.DB.ExecContext(t.Context(), "CREATE DATABASE "+name)
		require.NoError(t, err)
		db := dbtest.Migrate(t, servertest.Open(t, strings.TrimSuffix(server.URL, "postgres")+name))
		w := world{Database: db, topic: name, brokers: cluster.Brokers()}
		w.makeEffects(t)
		require.NoError(t, cluster.CreateTopic(t.Context(), name, [][]int32{{1}}, nil))
		w.producer, err = kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		require.NoError(t, err)
		t.Cleanup(w.producer.Close)
		consumers[mode] = w.startOutage(t, mode)
	}
	each := func(fn func(o *outage)) {
		for _, mode := range allModes {
			fn(consumers[mode])
		}
	}
	during := func(step string, begin, end func()) {
		each(func(o *outage) { o.send(t, step) })
		each(func(o *outage) { <-o.begun })
		begin()
		each(func(o *outage) { o.goOn <- struct{}{} })
		end()
		each(func(o *outage) { o.arrives(t) })
	}
	during("database", func() { server.Crash(t) }, func() { server.Start(t) })
	during("kafka", func() { require.NoError(t, cluster.KillAll()) }, func() {
		require.NoError(t, cluster.StartAll(t.Context()))
		each(func(o *outage) {
			o.produce(t, 0, "after")
			o.want = append(o.want, "after")
		})
	})
	each(func(o *outage) { o.finish(t) })
}

// A connection that is cut in the middle of a handler costs neither the message nor an attempt.
func TestACutConnectionIsNotTheMessagesFault(t *testing.T) {
	for flavor, open := range map[string]func(testing.TB) dbtest.Database{dbtest.FlavorPostgreSQL15: dbtest.PostgreSQL,
		dbtest.FlavorMariaDB: dbtest.MariaDB} {
		t.Run(flavor, func(t *testing.T) {
			for _, mode := range allModes {
				t.Run(string(mode), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, open(t), 1)
					o := w.startOutage(t, mode)
					o.send(t, "cut")
					<-o.begun
					w.cutConnections(t)
					o.goOn <- struct{}{}
					o.arrives(t)
					o.finish(t)
				})
			}
		})
	}
}

// cutConnections has the server end all connections to the test's database but the one that asks.
func (w world) cutConnections(t *testing.T) {
	t.Helper()
	conn, err := w.DB.Conn(t.Context())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	// Connections at rest are the test's own as much as the consumer's: a query of the test must not find one that was
	// cut.
	w.DB.SetMaxIdleConns(0)
	defer w.DB.SetMaxIdleConns(w.DB.Stats().MaxOpenConnections)
	if w.Dialect == db.PostgreSQL {
		_, err := conn.ExecContext(t.Context(),
			"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "+
				"current_database() AND pid <> pg_backend_pid()")
		require.NoError(t, err)
		return
	}
	rows, err := conn.QueryContext(t.Context(),
		"SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()")
	require.NoError(t, err)
	var others []int64
	for rows.Next() {
		var id int64
		require.NoError(t, rows.Scan(&id))
		others = append(others, id)
	}
	require.NoError(t, rows.Err())
	require.NoError(t, rows.Close())
	require.NotEmpty(t, others)
	for _, id := range others {
		_, _ = conn.ExecContext(t.Context(), fmt.Sprint("KILL ", id)) // one that has ended is as good
	}
}
