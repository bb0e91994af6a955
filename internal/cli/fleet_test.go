package cli

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = time.Minute

// fleetOf returns the configuration of many sources in one database, and creates their tables.
func fleetOf(t *testing.T, db dbtest.Database, n int) *config.Config {
	t.Helper()
	c := &config.Config{Delivery: config.Delivery{
		Mode: relay.AtLeastOnce, OnRejection: relay.BlockKey, LeaseTTL: time.Minute, PollMax: 25 * time.Millisecond,
	}}
	url := db.URL
	if db.Dialect == migrations.PostgreSQL {
		url += "&application_name=fleet" // the test's own connections have another name
	}
	for i := range n {
		s := config.Source{Name: fmt.Sprint("s", i), DatabaseURL: config.Secret(url), TablePrefix: fmt.Sprintf("s%d_",
			i)}
		_, err := migrations.Apply(t.Context(), db.DB, db.Dialect, migrations.Options{Prefix: s.TablePrefix,
			Only: migrations.OutboxOnly})
		require.NoError(t, err)
		c.Sources = append(c.Sources, s)
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	c.Sink.Kafka.Brokers = cluster.ListenAddrs()
	return c
}

// runFleet relays all sources until stop is called, as the command does.
func runFleet(t *testing.T, c *config.Config) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	log := slog.New(slog.DiscardHandler)
	databases, err := openPools(ctx, c.Sources, log)
	t.Cleanup(databases.close)
	require.NoError(t, err)
	relays, err := startAll(ctx, c, databases, log)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- runAll(ctx, relays, log) }()
	stop = sync.OnceFunc(func() { cancel(); require.NoError(t, <-ended) })
	t.Cleanup(stop)
	return stop
}

func writeToEach(t *testing.T, db dbtest.Database, c *config.Config, events int) {
	t.Helper()
	for _, s := range c.Sources {
		ob, err := outbox.New(db.Dialect, outbox.WithTablePrefix(s.TablePrefix))
		require.NoError(t, err)
		tx, err := db.DB.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		for i := range events {
			require.NoError(t, ob.Add(t.Context(), tx, outbox.Event{Topic: "orders", Key: s.Name,
				Payload: fmt.Appendf(nil, "%s/%d", s.Name, i)}))
		}
		require.NoError(t, tx.Commit())
	}
}

// consumeAll returns the payloads of this many records, by key.
func consumeAll(t *testing.T, c *config.Config, records int) map[string][]string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Sink.Kafka.Brokers...), kgo.ConsumeTopics("orders"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, n := map[string][]string{}, 0
	for n < records {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err0())
		fetches.EachRecord(func(r *kgo.Record) {
			got[string(r.Key)] = append(got[string(r.Key)], string(r.Value))
			n++
		})
	}
	return got
}

func TestSixtyFourSourcesOfOneDatabaseShareTenConnections(t *testing.T) {
	const sources, events = 64, 50
	db := dbtest.PostgreSQL(t)
	c := fleetOf(t, db, sources)
	writeToEach(t, db, c, events)

	stop := runFleet(t, c)
	requireConnections(t, db, mostConnections+mostLeaseConnections) // while all of them are working
	got := consumeAll(t, c, sources*events)
	require.Len(t, got, sources)
	for _, s := range c.Sources {
		var want []string
		for i := range events {
			want = append(want, fmt.Sprintf("%s/%d", s.Name, i))
		}
		require.Equal(t, want, got[s.Name])
	}
	requireConnections(t, db, mostConnections+mostLeaseConnections)
	stop()
	for _, s := range c.Sources {
		var n int
		require.NoError(t, db.DB.QueryRowContext(t.Context(), "SELECT count(*) FROM "+s.TablePrefix+
			"outbox_events").Scan(&n))
		require.Zero(t, n, "%s: what arrived was not deleted", s.Name)
	}
}

func requireConnections(t *testing.T, db dbtest.Database, most int) {
	t.Helper()
	for range 20 {
		var n int
		require.NoError(t, db.DB.QueryRowContext(t.Context(),
			"SELECT count(*) FROM pg_stat_activity "+
				"WHERE datname = current_database() AND application_name = 'fleet'").Scan(&n))
		require.Positive(t, n)
		require.LessOrEqual(t, n, most)
	}
}

func TestADatabaseThatCannotBeReachedIsToldOnceForAllItsSources(t *testing.T) {
	c := &config.Config{}
	for i := range 3 {
		c.Sources = append(c.Sources, config.Source{Name: fmt.Sprint("s", i),
			DatabaseURL: "postgres://u:hunter2@127.0.0.1:1/shop", TablePrefix: fmt.Sprintf("s%d_", i)})
	}
	databases, err := openPools(t.Context(), c.Sources, slog.New(slog.DiscardHandler))
	defer databases.close()
	require.Error(t, err)
	require.Equal(t, 1, strings.Count(err.Error(), "cannot connect"), err)
	require.ErrorContains(t, err, `source "s0"`)
}

func TestManySourcesShareTheMemoryOfAFew(t *testing.T) {
	one := windowOf(1)
	require.Equal(t, relay.DefaultWindow(), one, "one default, whoever starts the relay")
	require.Equal(t, one, windowOf(3))
	for _, n := range []int{4, 16, 64} {
		w := windowOf(n)
		require.LessOrEqual(t, int64(n)*w.MaxInFlightBytes, 3*one.MaxInFlightBytes, n)
		require.LessOrEqual(t, w.BatchSize, w.MaxInFlight)
		require.LessOrEqual(t, memoryLimit(n), int64(200<<20), n)
		require.Greater(t, memoryLimit(n), int64(n)*w.MaxInFlightBytes*2, n)
	}
	w := windowOf(1000)
	_, err := relay.New(relay.Config{MaxInFlight: w.MaxInFlight, MaxInFlightBytes: w.MaxInFlightBytes,
		BatchSize: w.BatchSize})
	require.NotContains(t, err.Error(), "MaxInFlight")
	require.NotContains(t, err.Error(), "BatchSize")
}
