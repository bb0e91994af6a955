package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx", to make a database with
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/migrations"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestItRunsWithoutAnyServer(t *testing.T) {
	requireStory(t, "", "", "quickstart-orders")
}

func TestItRunsOnPostgreSQLAndKafka(t *testing.T) {
	topic, brokers := newTopic(t)
	requireStory(t, newPostgreSQL(t), brokers, topic)
}

func TestItRunsOnMariaDBAndKafka(t *testing.T) {
	topic, brokers := newTopic(t)
	requireStory(t, newMariaDB(t), brokers, topic)
}

func TestItRunsAgainOnWhatItLeftBehind(t *testing.T) {
	database := newPostgreSQL(t)
	topic, brokers := newTopic(t)
	requireStory(t, database, brokers, topic)
	requireStory(t, database, brokers, topic)
}

func TestAnAddressThatDoesNotWorkIsNamedWithoutItsPassword(t *testing.T) {
	for name, tc := range map[string]struct{ database, brokers, says string }{
		"an unknown database":  {"oracle://user:secret@db/shop", "", "want postgres://… or mysql://…"},
		"no PostgreSQL there":  {"postgres://user:secret@127.0.0.1:1/shop", "", "127.0.0.1:1"},
		"no MariaDB there":     {"mysql://user:secret@127.0.0.1:1/shop", "", "127.0.0.1:1/shop"},
		"not a URL":            {"mysql://user:sec%ret@db/shop", "", "percent-encode"},
		"no Kafka there":       {"", "127.0.0.1:1", "make the topic quickstart-orders"},
		"brokers without port": {"", "127.0.0.1:x", "KAFKA_BROKERS"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			err := run(ctx, &output{}, tc.database, tc.brokers, "quickstart-orders")
			require.ErrorContains(t, err, tc.says)
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestTheCheckFindsWhatIsWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		plant string
		says  string
	}{
		"an invoice twice": {
			"INSERT INTO invoices (order_id) VALUES ('a'), ('a'), ('b')", "2 orders, 3 invoices of 2 orders",
		},
		"an invoice missing": {"INSERT INTO invoices (order_id) VALUES ('a')", "2 orders, 1 invoices of 1 orders"},
		"an event left over": {"INSERT INTO outbox_events (topic) VALUES ('t')", "1 events left in the outbox"},
		"one twice, one none": {
			"INSERT INTO invoices (order_id) VALUES ('a'), ('a')", "2 orders, 2 invoices of 1 orders",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := open(t.Context(), "", "", "quickstart-orders")
			require.NoError(t, err)
			defer s.close()
			_, err = migrations.Apply(t.Context(), s.sql, s.dialect, migrations.Options{})
			require.NoError(t, err)
			require.NoError(t, s.db.AutoMigrate(&Invoice{}))
			require.NoError(t, s.db.Exec(tc.plant).Error)
			require.ErrorContains(t, check(t.Context(), s.db, &output{}, []string{"a", "b"}), tc.says)
		})
	}
}

func requireStory(t *testing.T, databaseURL, brokers, topic string) {
	t.Helper()
	var out output
	require.NoError(t, run(t.Context(), &out, databaseURL, brokers, topic), out.String())
	require.Equal(t, 3, strings.Count(out.String(), ": committed\n"))
	require.Equal(t, 1, strings.Count(out.String(), ": rolled back\n"))
	require.Equal(t, 3, strings.Count(out.String(), ": applied\n"))
	require.Equal(t, 3, strings.Count(out.String(), ": duplicate\n"))
	require.Contains(t, out.String(), "OK: 3 orders committed, 3 invoices")
}

// output is what the shop and billing print, in one buffer.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// address returns the address of a test server. This package cannot use internal/dbtest, because that has
// another SQLite driver than gorm, and both drivers are called "sqlite".
func address(t *testing.T, variable string) string {
	t.Helper()
	value := os.Getenv(variable)
	const how = "%s is not set: run dev/services up && eval \"$(dev/services env)\""
	switch {
	case value != "":
	case os.Getenv("CI") == "true":
		t.Fatalf(how, variable)
	default:
		t.Skipf(how, variable)
	}
	return value
}

func freshName() string { return "quickstart_" + strings.ToLower(rand.Text()[:12]) }

func newPostgreSQL(t *testing.T) string {
	t.Helper()
	server := address(t, "POSTROOM_TEST_POSTGRES_URL")
	name := freshName()
	newDatabase(t, "pgx", server, "CREATE DATABASE "+name, "DROP DATABASE "+name+" WITH (FORCE)")
	return withDatabase(t, server, name)
}

func newMariaDB(t *testing.T) string {
	t.Helper()
	server := address(t, "POSTROOM_TEST_MARIADB_URL")
	dsn, err := mysqlDSN(t.Context(), server)
	require.NoError(t, err)
	name := freshName()
	newDatabase(t, "mysql", dsn, "CREATE DATABASE "+name, "DROP DATABASE "+name)
	return withDatabase(t, server, name)
}

func newDatabase(t *testing.T, driver, dsn, create, drop string) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), create)
	require.NoError(t, err, "the user of the test server must be allowed to create databases")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_, err := db.ExecContext(ctx, drop)
		require.NoError(t, err)
		require.NoError(t, db.Close())
	})
}

func withDatabase(t *testing.T, server, name string) string {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
	u.Path = "/" + name
	return u.String()
}

func newTopic(t *testing.T) (topic, brokers string) {
	t.Helper()
	brokers = address(t, "POSTROOM_TEST_KAFKA_BROKERS")
	topic = strings.ReplaceAll(freshName(), "_", "-")
	t.Cleanup(func() {
		client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...))
		require.NoError(t, err)
		defer client.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_, err = kadm.NewClient(client).DeleteTopic(ctx, topic)
		require.NoError(t, err)
		_, err = kadm.NewClient(client).DeleteGroup(ctx, topic+"-billing")
		require.NoError(t, err)
	})
	return topic, brokers
}
