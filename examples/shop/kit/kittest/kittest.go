// Package kittest gives the tests of the shop fresh databases and brokers. Only tests import it.
//
// It stands beside internal/dbtest because gorm's SQLite driver and the one of dbtest both register the name "sqlite",
// and panic when they are in one binary.
package kittest

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx", to make a database with
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
)

// Each runs fn as a subtest on a fresh database of each kind.
func Each(t *testing.T, fn func(t *testing.T, db *kit.DB)) {
	t.Helper()
	for name, url := range map[string]func(testing.TB) string{
		"sqlite": SQLite, "postgresql": PostgreSQL, "mariadb": MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fn(t, Open(t, url(t)))
		})
	}
}

// Open opens a database for the time of the test.
func Open(t testing.TB, url string) *kit.DB {
	t.Helper()
	db, err := kit.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// SQLite returns the URL of a fresh database in a file.
func SQLite(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "shop.db") }

// PostgreSQL returns the URL of a fresh, empty database.
func PostgreSQL(t testing.TB) string {
	t.Helper()
	server, name := Address(t, "POSTROOM_TEST_POSTGRES_URL"), freshName()
	newDatabase(t, "pgx", server, "CREATE DATABASE "+name, "DROP DATABASE "+name+" WITH (FORCE)")
	return withDatabase(t, server, name)
}

// MariaDB returns the URL of a fresh, empty database whose texts are compared by their bytes.
func MariaDB(t testing.TB) string {
	t.Helper()
	server, name := Address(t, "POSTROOM_TEST_MARIADB_URL"), freshName()
	u, err := url.Parse(server)
	require.NoError(t, err)
	cfg := mysqldriver.NewConfig()
	cfg.User = u.User.Username()
	cfg.Passwd, _ = u.User.Password()
	cfg.Net, cfg.Addr = "tcp", u.Hostname()+":"+cmp.Or(u.Port(), "3306")
	newDatabase(t, "mysql", cfg.FormatDSN(),
		"CREATE DATABASE "+name+" CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin", "DROP DATABASE "+name)
	return withDatabase(t, server, name)
}

// Address returns a test server's. Without one the test is skipped, and fails where CI is true.
func Address(t testing.TB, variable string) string {
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

func freshPrefix() string { return strings.ReplaceAll(freshName(), "_", "-") + "." }

func freshName() string { return "shop_" + strings.ToLower(rand.Text()[:12]) }

func newDatabase(t testing.TB, driver, dsn, create, drop string) {
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

func withDatabase(t testing.TB, server, name string) string {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
	u.Path = "/" + name
	return u.String()
}

// Kafka starts a Kafka in this process, with the shop's topics. It has a prefix, because the names of consumers must be
// unique in a process.
func Kafka(t testing.TB) kit.Kafka {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	kafka := kit.Kafka{Brokers: cluster.ListenAddrs(), Prefix: freshPrefix()}
	require.NoError(t, kafka.CreateTopics(t.Context(), events.KafkaTopics()...))
	return kafka
}

// RealKafka returns the test broker with the shop's topics, under a prefix that no other test has. They go with the
// test.
func RealKafka(t testing.TB) kit.Kafka {
	t.Helper()
	kafka := kit.Kafka{
		Brokers: strings.Split(Address(t, "POSTROOM_TEST_KAFKA_BROKERS"), ","),
		Prefix:  freshPrefix(),
	}
	require.NoError(t, kafka.CreateTopics(t.Context(), events.KafkaTopics()...))
	t.Cleanup(func() { DeleteTopics(t, kafka) })
	return kafka
}

// DeleteTopics deletes the shop's topics.
func DeleteTopics(t testing.TB, kafka kit.Kafka) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.Brokers...))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, topic := range events.KafkaTopics() {
		_, err = kadm.NewClient(client).DeleteTopic(ctx, kafka.Topic(topic))
		require.NoError(t, err)
	}
}
