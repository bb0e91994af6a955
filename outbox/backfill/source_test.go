package backfill_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
)

// historyRows is the size of the source: `make replica` and .ci/run have 1,000,000.
func historyRows(t *testing.T) int {
	text := os.Getenv("POSTROOM_TEST_REPLICA_ROWS")
	if text == "" {
		return 20_000
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "POSTROOM_TEST_REPLICA_ROWS")
	return n
}

const customerJSON = `convert_to(json_build_object('version', version, 'id', id, 'name', name)::text, 'UTF8')`

// writes are what a service does, each change with its event in one statement.
var writes = []string{
	`WITH c AS (UPDATE customers SET name = 'v' || version + 1, version = version + 1 WHERE id BETWEEN $1 AND $1 + 40
AND id % 2 = $2 RETURNING *)
INSERT INTO outbox_events (topic, event_key, payload) SELECT 'customers', id::text, ` + customerJSON + ` FROM c`,
	`WITH c AS (DELETE FROM customers WHERE id BETWEEN $1 AND $1 + 4 AND id % 2 = $2 RETURNING *)
INSERT INTO outbox_events (topic, event_key, payload)
SELECT 'customers', id::text, convert_to(json_build_object('version', version + 1, 'id', id, 'deleted', true)::text,
'UTF8') FROM c`,
	`WITH c AS (INSERT INTO customers (id, name, version)
VALUES (-2 * nextval('behind') - $2::bigint + 0 * $1::bigint, 'new', 1) RETURNING *)
INSERT INTO outbox_events (topic, event_key, payload) SELECT 'customers', id::text, ` + customerJSON + ` FROM c`,
	// Behind the backfill's position the ids are negative, ahead of it above all that were there at its start.
	`WITH c AS (INSERT INTO customers (id, name, version)
VALUES (1000000000 + 2 * nextval('ahead') + $2::bigint + 0 * $1::bigint, 'new', 1) RETURNING *)
INSERT INTO outbox_events (topic, event_key, payload) SELECT 'customers', id::text, ` + customerJSON + ` FROM c`,
}

// source is a service's table on PostgreSQL, and the topic of its events.
type source struct {
	dbtest.Database
	topic string
	rows  int
}

func newSource(t *testing.T, topic string) source {
	t.Helper()
	s := source{Database: dbtest.Migrate(t, dbtest.PostgreSQL(t)), topic: topic, rows: historyRows(t)}
	exec(t, s.DB, "CREATE TABLE customers (id bigint PRIMARY KEY, name varchar(100), version bigint NOT NULL)")
	exec(t, s.DB, "CREATE SEQUENCE behind")
	exec(t, s.DB, "CREATE SEQUENCE ahead")
	exec(t, s.DB, fmt.Sprintf("INSERT INTO customers SELECT i, 'v1', 1 FROM generate_series(1, %d) i", s.rows))
	return s
}

// of puts the topic's name into SQL that is written for the topic customers.
func (s source) of(query string) string {
	return strings.ReplaceAll(query, "'customers'", "'"+s.topic+"'")
}

// write changes, deletes and makes rows in two sessions until the function that it returns
// is called.
func (s source) write(t *testing.T) (stop func()) {
	writing, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	var writers sync.WaitGroup
	failed := make([]error, 2)
	for w := range 2 {
		writers.Go(func() {
			for n := 0; writing.Err() == nil; n++ {
				if _, err := s.DB.ExecContext(
					t.Context(), s.of(writes[n%len(writes)]), rand.IntN(s.rows), w,
				); err != nil {
					failed[w] = err
					return
				}
			}
		})
	}
	return func() {
		cancel()
		writers.Wait()
		require.NoError(t, failed[0])
		require.NoError(t, failed[1])
	}
}
