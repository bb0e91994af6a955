package inbox_test

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/store/parked"
)

// Upgrades do the programs first: with the tables of 00002_inbox.sql alone everything works
// that these can do, and the log says what does not.
func TestTheFirstTablesDoWhatTheyCan(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		for _, table := range []string{"offsets", "replica_rows", "replica_runs"} {
			b.exec(t, "DROP TABLE inbox_"+table)
		}
		index := "DROP INDEX inbox_parked_asked_idx"
		if b.Dialect == db.MySQL {
			index += " ON inbox_parked"
		}
		b.exec(t, index)

		var log bytes.Buffer
		ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1),
			inbox.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		require.NoError(t, ib.Check(t.Context(), b.DB))
		require.Contains(t, log.String(), "offsets cannot be kept in the database; everything else works")
		require.Contains(t, log.String(), "relay migrate up")
		require.ErrorContains(t, ib.CheckOffsets(t.Context(), b.DB), "relay migrate up")
		_, err := ib.ClaimPartition(t.Context(), b.DB, "orders", 1)
		require.ErrorContains(t, err, "relay migrate up")

		m := inbox.Message{ID: "m1", Topic: "orders", Key: "k", Payload: []byte("1")}
		outcome, err := ib.Process(t.Context(), b.DB, m, func(context.Context, *sql.Tx) error { return errHandler })
		require.NoError(t, err)
		require.Equal(t, inbox.Parked, outcome)
		batch := []inbox.Message{{ID: "m2", Topic: "orders"}, {ID: "m3", Topic: "orders", Key: "k"}}
		outcomes, err := ib.ProcessBatch(t.Context(), b.DB, batch,
			func(context.Context, *sql.Tx, []inbox.Message) error { return nil })
		require.NoError(t, err)
		require.Equal(t, []inbox.Outcome{inbox.Applied, inbox.Parked}, outcomes)

		operator, err := parked.Inbox(b.DB, db.Names{Dialect: b.Dialect})
		require.NoError(t, err)
		_, err = operator.Request(t.Context(), parked.Request{State: db.ParkedRetry})
		require.NoError(t, err)
		done, err := ib.Replay(t.Context(), b.DB, func(
			ctx context.Context, tx *sql.Tx, m inbox.Message) error {
			return b.effect(m.ID)(ctx, tx)
		})
		require.NoError(t, err)
		require.Equal(t, 2, done)
		stats, err := ib.Stats(t.Context(), b.DB)
		require.NoError(t, err)
		require.EqualValues(t, 3, stats.Rows)
		require.Zero(t, stats.BlockedKeys)
		b.makeOlder(t, 2*time.Hour)
		deleted, err := ib.Prune(t.Context(), b.DB, inbox.PruneOptions{Retention: time.Hour})
		require.NoError(t, err)
		require.EqualValues(t, 3, deleted)
	})
}
