package dbtest_test

import (
	"context"
	"database/sql"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/dbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMigratedDatabasesHaveTheTables(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		_, err := db.DB.ExecContext(t.Context(), "INSERT INTO outbox_events (topic) VALUES ('orders')")
		require.NoError(t, err)
		var n int
		require.NoError(t, db.DB.QueryRowContext(t.Context(), "SELECT count(*) FROM outbox_events").Scan(&n))
		require.Equal(t, 1, n, "each test has a database of its own")
	})
}

func TestTheDatabaseIsGoneAfterTheTestThoughATransactionWasOpen(t *testing.T) {
	for name, fresh := range map[string]func(testing.TB) dbtest.Database{
		"postgresql": dbtest.PostgreSQL, "mariadb": dbtest.MariaDB, "pgbouncer": dbtest.PgBouncer,
	} {
		t.Run(name, func(t *testing.T) {
			var (
				gone string
				left *sql.Tx
			)
			t.Run("inner", func(t *testing.T) {
				db := dbtest.Migrate(t, fresh(t))
				gone = db.URL
				target, err := dbopen.Open(t.Context(), db.URL)
				require.NoError(t, err)
				// Left open on purpose, as a failing test would; its server ends it.
				left, err = target.DB.BeginTx(context.Background(), nil)
				require.NoError(t, err)
				_, err = left.ExecContext(t.Context(), "INSERT INTO outbox_events (topic) VALUES ('orders')")
				require.NoError(t, err)
				t.Cleanup(func() { _ = target.DB.Close() })
			})
			if left == nil {
				return // skipped or failed
			}
			require.Error(t, left.Rollback(), "the server has ended it")
			if name == "pgbouncer" {
				return // would try for long; that the drop succeeded has been checked
			}
			_, err := dbopen.Open(t.Context(), gone)
			require.ErrorContains(t, err, "does not exist")
		})
	}
}

func TestATopicHasItsPartitions(t *testing.T) {
	topic := dbtest.Topic(t, 3)
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(dbtest.Kafka(t), ",")...))
	require.NoError(t, err)
	defer client.Close()
	var found int
	require.Eventually(t, func() bool {
		details, err := kadm.NewClient(client).ListTopics(t.Context(), topic)
		found = len(details[topic].Partitions)
		return err == nil && found > 0
	}, 10*time.Second, 20*time.Millisecond)
	require.Equal(t, 3, found)
}

func TestARestrictedUserMayDoWhatWasGrantedAndNoMore(t *testing.T) {
	for name, fresh := range map[string]func(testing.TB) dbtest.Database{
		"postgresql": dbtest.PostgreSQL, "mariadb": dbtest.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			db := dbtest.Migrate(t, fresh(t))
			writer := dbtest.Restricted(t, db, "INSERT ON outbox_events")
			_, err := writer.DB.ExecContext(t.Context(), "INSERT INTO outbox_events (topic) VALUES ('orders')")
			require.NoError(t, err)
			_, err = writer.DB.ExecContext(t.Context(), "DELETE FROM outbox_events")
			require.Error(t, err)
			require.True(t, sqldb.IsDenied(err), "%v", err)
			u, err := url.Parse(writer.URL)
			require.NoError(t, err)
			full, err := url.Parse(db.URL)
			require.NoError(t, err)
			require.NotEqual(t, full.User.Username(), u.User.Username())
		})
	}
}
