package backfill_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/replica"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/outbox/backfill"
)

// historyRows is the size of the source: `make replica` runs with 1,000,000.
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
	`WITH c AS (UPDATE customers SET name = 'v' || version + 1, version = version + 1 WHERE id BETWEEN $1 AND $1 + 40 AND id % 2 = $2 RETURNING *)
INSERT INTO outbox_events (topic, event_key, payload) SELECT 'customers', id::text, ` + customerJSON + ` FROM c`,
	`WITH c AS (DELETE FROM customers WHERE id BETWEEN $1 AND $1 + 4 AND id % 2 = $2 RETURNING *)
INSERT INTO outbox_events (topic, event_key, payload)
SELECT 'customers', id::text, convert_to(json_build_object('version', version + 1, 'id', id, 'deleted', true)::text, 'UTF8') FROM c`,
	`WITH c AS (INSERT INTO customers (id, name, version) VALUES (-2 * nextval('behind') - $2::bigint + 0 * $1::bigint, 'new', 1) RETURNING *)
INSERT INTO outbox_events (topic, event_key, payload) SELECT 'customers', id::text, ` + customerJSON + ` FROM c`,
}

// The source's rows change, come and go in two sessions while a backfill runs, which is
// cut off and run again. What the outbox holds is delivered in any order, and half of it
// twice: a third of all deliveries are copies. At the end Compare finds the two equal, and then what the test plants.
func TestAReplicaEndsEqualToASourceThatIsWrittenMeanwhile(t *testing.T) {
	t.Parallel()
	db := dbtest.Migrate(t, dbtest.PostgreSQL(t))
	rows := historyRows(t)
	start := time.Now()
	exec(t, db.DB, "CREATE TABLE customers (id bigint PRIMARY KEY, name varchar(100), version bigint NOT NULL)")
	exec(t, db.DB, "CREATE TABLE copies (id bigint PRIMARY KEY, name varchar(100))")
	exec(t, db.DB, "CREATE SEQUENCE behind")
	exec(t, db.DB, fmt.Sprintf("INSERT INTO customers SELECT i, 'v1', 1 FROM generate_series(1, %d) i", rows))
	writing, stop := context.WithCancel(t.Context())
	defer stop()
	var writers sync.WaitGroup
	failed := make([]error, 2)
	for w := range 2 {
		writers.Go(func() {
			for n := 0; writing.Err() == nil; n++ {
				_, err := db.DB.ExecContext(t.Context(), writes[n%3], rand.IntN(rows), w)
				if err != nil {
					failed[w] = err
					return
				}
			}
		})
	}
	chunk := max(100, rows/40)
	cutting, cut := context.WithCancel(t.Context())
	defer cut()
	config := backfill.Config{Name: "customers", Query: query["postgresql"], Position: "id", Chunk: chunk, Progress: func(p backfill.Progress) {
		if p.Chunks == 15 {
			cut()
		}
	}}
	_, err := backfill.Run(cutting, db.DB, db.Dialect, config)
	require.ErrorIs(t, err, context.Canceled)
	config.Progress = nil
	done, err := backfill.Run(t.Context(), db.DB, db.Dialect, config)
	require.NoError(t, err)
	require.True(t, done.Resumed)
	stop()
	writers.Wait()
	require.NoError(t, failed[0])
	require.NoError(t, failed[1])
	t.Logf("%s: %d rows backfilled beside two writers", time.Since(start).Round(time.Millisecond), done.Sent)

	r, err := replica.New(db.Dialect, replica.Config{Table: "copies", Key: []string{"id"}, Columns: []string{"name"}})
	require.NoError(t, err)
	sent := changes(t, db)
	events, changed := len(sent), len(sent)-int(done.Sent)-1
	require.Greater(t, changed, 100, "the writers wrote")
	for i := range events / 2 {
		sent = append(sent, sent[i])
	}
	rand.Shuffle(len(sent), func(i, j int) { sent[i], sent[j] = sent[j], sent[i] })
	for i := 0; i < len(sent); i += 5000 {
		apply(t, db, r, sent[i:min(i+5000, len(sent))]...)
	}
	tidied, err := r.Tidy(t.Context(), db.DB, replica.TidyOptions{})
	require.NoError(t, err)
	require.Empty(t, tidied.Waiting, "all of the backfill has come")
	t.Logf("%s: %d events, %d of them changes, delivered as %d in any order", time.Since(start).Round(time.Millisecond), events, changed, len(sent))

	c := replica.Comparison{Source: db.DB, SourceDialect: inbox.PostgreSQL, Query: "SELECT id, name FROM customers",
		Replica: db.DB, ReplicaDialect: inbox.PostgreSQL, Table: "copies", Key: []string{"id"}, Wait: time.Millisecond}
	compared, err := replica.Compare(t.Context(), c)
	require.NoError(t, err)
	require.True(t, compared.Equal(), "%v", compared.Differences)
	require.Equal(t, compared.SourceRows, compared.ReplicaRows)
	t.Logf("%s: compared %d rows", time.Since(start).Round(time.Millisecond), compared.SourceRows)

	exec(t, db.DB, "UPDATE copies SET name = 'planted' WHERE id = (SELECT max(id) FROM copies)")
	compared, err = replica.Compare(t.Context(), c)
	require.NoError(t, err)
	require.Len(t, compared.Differences, 1)
	require.Equal(t, replica.Different, compared.Differences[0].Kind)
}
