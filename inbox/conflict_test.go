package inbox_test

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/faultdb"
)

// A handler that waits by another connection for its own transaction's lock meets this for ever.
func TestAHandlerWhoseConflictsDoNotEndHasFailed(t *testing.T) {
	b := onSQLite(t)
	runs := 0
	busy := func(context.Context, *sql.Tx) error { runs++; return sqliteBusy{} }
	var log bytes.Buffer
	ib := b.inbox(t, "billing", inbox.WithMaxAttempts(3), inbox.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	require.Equal(t, inbox.Parked, b.process(t, ib, order("1", "k"), busy))
	require.Equal(t, inbox.MaxConflicts-1+3, runs, "from the hundredth on each is an attempt")
	require.Equal(t, 1,
		b.count(t, "SELECT count(*) FROM inbox_parked WHERE attempts = 3 AND error LIKE '%102 times in a "+
			"row%'"))
	require.Equal(t, 1, strings.Count(log.String(), "repeatedly ends the transaction"), "logged once")
	require.Contains(t, log.String(), "conflicts=10")

	outcomes, err := ib.ProcessBatch(t.Context(), b.DB,
		[]inbox.Message{order("2", "a"), order("3", "b"), order("4", "c")},
		func(ctx context.Context, tx *sql.Tx, ms []inbox.Message) error {
			for _, m := range ms {
				if m.ID == "3" {
					return busy(ctx, tx)
				}
				if err := b.applying(ctx, tx, m); err != nil {
					return err
				}
			}
			return nil
		})
	require.NoError(t, err)
	require.Equal(t, []inbox.Outcome{inbox.Applied, inbox.Parked, inbox.Applied}, outcomes)
}

// Hazard crossed-batches.
// What our own statements meet is never the message's fault, and a conflict that ends begins anew.
func TestConflictsThatAreNotTheHandlersCountNoAttempt(t *testing.T) {
	b := onSQLite(t)
	for _, at := range []string{"inbox_attempts", "INSERT INTO \"inbox_events", faultdb.Commit} {
		var log bytes.Buffer
		met := 0
		db := b.faulty(t, func(statement string) faultdb.Fault {
			if !strings.Contains(statement, at) || met == 3*inbox.MaxConflicts {
				return faultdb.Fault{}
			}
			met++
			return faultdb.Fail(sqliteBusy{})
		})
		ib := b.inbox(t, at, inbox.WithMaxAttempts(1), inbox.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		outcome, err := ib.Process(t.Context(), db, order("1", "k"), b.effect("1"))
		require.NoError(t, err)
		require.Equal(t, inbox.Applied, outcome, at)
		require.Equal(t, 3*inbox.MaxConflicts, met, at)
		require.Equal(t, 1, strings.Count(log.String(), "repeatedly ends the transaction"), at)
	}
	runs := 0
	require.Equal(t, inbox.Parked, b.process(t, b.inbox(t, "rows", inbox.WithMaxAttempts(3)), order("1", "k"),
		func(context.Context, *sql.Tx) error {
			if runs++; runs%inbox.MaxConflicts == 0 {
				return errPoison
			}
			return sqliteBusy{}
		}))
	require.Equal(t, 3*inbox.MaxConflicts, runs, "99 in a row, three times")
}

// The conflicts of a batch are not those of its messages, which may meet some of their own.
func TestConflictsOfABatchAreNotItsMessages(t *testing.T) {
	b := onSQLite(t)
	alone := map[string]int{}
	outcomes, err := b.inbox(t, "billing", inbox.WithMaxAttempts(2)).ProcessBatch(t.Context(), b.DB,
		[]inbox.Message{order("1", "a"), order("2", "b"), order("3", "c"), order("4", "d")},
		func(ctx context.Context, tx *sql.Tx, ms []inbox.Message) error {
			if len(ms) > 1 {
				return sqliteBusy{}
			}
			if alone[ms[0].ID]++; alone[ms[0].ID] <= 3 {
				return sqliteBusy{}
			}
			return b.applying(ctx, tx, ms[0])
		})
	require.NoError(t, err)
	require.Equal(t, []inbox.Outcome{inbox.Applied, inbox.Applied, inbox.Applied, inbox.Applied}, outcomes)
}
