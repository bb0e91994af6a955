package cli

import (
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/faultdb"
	"github.com/postroom/postroom/internal/store/archive"
	store "github.com/postroom/postroom/internal/store/relay"
)

// archived returns a database whose archive has n events.
func archived(t *testing.T, n int) dbtest.Database {
	t.Helper()
	db := dbtest.Migrate(t, dbtest.SQLite(t))
	_, err := db.DB.ExecContext(t.Context(), `
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO outbox_archive (id, event_id, topic, event_key, event_type, headers, created_at)
SELECT i, printf('%08x-0000-4000-8000-000000000000', i), 'orders', 'k', '', '{}', '2026-11-23T10:00:00.000000Z'
FROM n`, n)
	require.NoError(t, err)
	return db
}

func TestAReplayThatBreaksOffSaysHowToGoOn(t *testing.T) {
	for name, c := range map[string]struct {
		fault faultdb.Fault
		rows  int // after it was continued
	}{
		"the second batch did not arrive": {faultdb.LoseRequest(), 2500},
		"the answer to it was lost":       {faultdb.LoseAnswer(), 3500},
	} {
		t.Run(name, func(t *testing.T) {
			db := archived(t, 2500)
			commits := 0
			s := archive.Selection{Topic: "orders", UpTo: 2500}
			faulty := faultdb.Open(db.DB, func(statement string) faultdb.Fault {
				if statement == faultdb.Commit {
					if commits++; commits == 2 {
						return c.fault
					}
				}
				return faultdb.Fault{}
			})
			store, err := archive.New(faulty, sqldb.Names{Dialect: db.Dialect})
			require.NoError(t, err)
			result := replayed{Matched: 2500, UpToSeq: 2500}
			err = putBack(t.Context(), io.Discard, store, s, &result)
			require.NoError(t, faulty.Close())
			require.ErrorContains(t, err, "1000 of 2500 events put back; to continue, run the same command with "+
				"--after-seq "+
				"1000 --up-to-seq 2500")
			require.ErrorContains(t, err, "the inbox recognises duplicates, but not with --new-ids")
			require.EqualValues(t, 1000, result.PutBack)

			s.After = result.AfterSeq
			store, err = archive.New(db.DB, sqldb.Names{Dialect: db.Dialect})
			require.NoError(t, err)
			rest := replayed{Matched: 1500, UpToSeq: 2500}
			require.NoError(t, putBack(t.Context(), io.Discard, store, s, &rest))
			require.EqualValues(t, 1500, rest.PutBack)
			var rows, events int
			require.NoError(t, db.DB.QueryRowContext(t.Context(),
				"SELECT COUNT(*), COUNT(DISTINCT event_id) FROM outbox_events").Scan(&rows, &events))
			require.Equal(t, c.rows, rows)
			require.Equal(t, 2500, events, "none is left out")
		})
	}
}

func TestAReplayThatIsStoppedSaysHowToGoOn(t *testing.T) {
	db := archived(t, 1500)
	store, err := archive.New(db.DB, sqldb.Names{Dialect: db.Dialect})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	result := replayed{Matched: 1500, UpToSeq: 1500, AfterSeq: 7}
	err = putBack(ctx, io.Discard, store, archive.Selection{UpTo: 1500, After: 7}, &result)
	require.ErrorContains(t, err, "stopped by a signal: 0 of 1500 events put back; to continue, run the same command "+
		"with "+
		"--after-seq 7 --up-to-seq 1500")
}

func TestABatchIsBoundedByRowsAndBytes(t *testing.T) {
	page := make([]archive.Row, 2*replayBatch)
	require.Equal(t, replayBatch, batchOf(page))
	require.Equal(t, 3, batchOf(page[:3]))
	page[2].Bytes = replayBytes + 1
	require.Equal(t, 2, batchOf(page))
	require.Equal(t, 1, batchOf(page[2:]), "one that is larger goes alone")
}

func TestAPruneThatIsStoppedSaysHowFarItCame(t *testing.T) {
	db := archived(t, 10)
	tables, err := store.New(db.DB, sqldb.Names{Dialect: db.Dialect}, store.Options{})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	p := pruned{Table: "outbox_archive", Deleted: 3000}
	err = p.purge(ctx, io.Discard, tables, store.OldArchived(0))
	require.ErrorContains(t, err, "stopped by a signal: 3000 rows of outbox_archive deleted; to continue, run the "+
		"same command again")
}
