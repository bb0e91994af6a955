package backfill_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/replica"
	"github.com/postroom/postroom/outbox/backfill"
)

// Hazard resurrected-row.
// The source's rows change, come and go in two sessions while a backfill runs, which is
// cut off and run again. What the outbox holds is delivered in any order, and half of it
// twice: a third of all deliveries are copies. At the end Compare finds the two equal, and then what the test plants.
func TestAReplicaEndsEqualToASourceThatIsWrittenMeanwhile(t *testing.T) {
	t.Parallel()
	start := time.Now()
	db := newSource(t, "customers")
	exec(t, db.DB, "CREATE TABLE copies (id bigint PRIMARY KEY, name varchar(100))")
	stop := db.write(t)
	chunk := max(100, db.rows/40)
	cutting, cut := context.WithCancel(t.Context())
	defer cut()
	config := backfill.Config{Name: "customers", Query: query["postgresql"], Position: "id", Chunk: chunk,
		Progress: func(p backfill.Progress) {
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
	t.Logf("%s: %d rows backfilled beside two writers", time.Since(start).Round(time.Millisecond), done.Sent)

	r, err := replica.New(db.Dialect, replica.Config{Table: "copies", Key: []string{"id"}, Columns: []string{"name"}})
	require.NoError(t, err)
	sent := changes(t, db.Database)
	events, changed := len(sent), len(sent)-int(done.Sent)-1
	require.Greater(t, changed, 100, "the writers wrote")
	for i := range events / 2 {
		sent = append(sent, sent[i])
	}
	rand.Shuffle(len(sent), func(i, j int) { sent[i], sent[j] = sent[j], sent[i] })
	for i := 0; i < len(sent); i += 5000 {
		apply(t, db.Database, r, sent[i:min(i+5000, len(sent))]...)
	}
	tidied, err := r.Tidy(t.Context(), db.DB, replica.TidyOptions{})
	require.NoError(t, err)
	require.Empty(t, tidied.Waiting, "all of the backfill has come")
	t.Logf(
		"%s: %d events, %d of them changes, delivered as %d in any order", time.Since(start).Round(time.Millisecond),
		events, changed, len(sent),
	)

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
