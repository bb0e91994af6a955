package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/outbox"
)

// waysIn are all ways to a handler's transaction; each handles new messages and returns the error.
var waysIn = map[string]func(t *testing.T, b bench, ib *inbox.Inbox, h func(context.Context, *sql.Tx) error) error{
	"Process": func(t *testing.T, b bench, ib *inbox.Inbox, h func(context.Context, *sql.Tx) error) error {
		_, err := ib.Process(t.Context(), b.DB, order("1", "k"), h)
		return err
	},
	"Process, without a topic": func(t *testing.T, b bench, ib *inbox.Inbox,
		h func(context.Context, *sql.Tx) error) error {
		_, err := ib.Process(t.Context(), b.DB, inbox.Message{ID: "1"}, h)
		return err
	},
	"Step": func(t *testing.T, b bench, ib *inbox.Inbox, h func(context.Context, *sql.Tx) error) error {
		ob, err := outbox.New(b.Dialect)
		require.NoError(t, err)
		_, err = ib.Step(t.Context(), b.DB, ob, order("1", "k"),
			func(ctx context.Context, tx *sql.Tx, _ inbox.Message) ([]outbox.Event, error) {
				return nil, h(ctx, tx)
			})
		return err
	},
	"ProcessBatch":                    batchWay(5),
	"ProcessBatch of one":             batchWay(1),
	"ProcessBatch in a hold":          holdWay(5),
	"ProcessBatch in a hold, no ids":  holdWay(5, inbox.WithoutIDs()),
	"ProcessBatch of one and no ids":  holdWay(1, inbox.WithoutIDs()),
	"ProcessBatch, nothing is parked": batchWay(5, inbox.WithOnFailure(inbox.Halt)),
}

func batchWay(size int, opts ...inbox.Option) func(
	t *testing.T, b bench, ib *inbox.Inbox, h func(context.Context, *sql.Tx) error) error {
	return func(t *testing.T, b bench, ib *inbox.Inbox, h func(context.Context, *sql.Tx) error) error {
		if len(opts) > 0 {
			ib = b.inbox(t, ib.Consumer(), opts...)
		}
		_, err := ib.ProcessBatch(t.Context(), b.DB, orders(size),
			func(ctx context.Context, tx *sql.Tx, _ []inbox.Message) error { return h(ctx, tx) })
		return err
	}
}

func holdWay(size int, opts ...inbox.BatchOption) func(
	t *testing.T, b bench, ib *inbox.Inbox, h func(context.Context, *sql.Tx) error) error {
	return func(t *testing.T, b bench, ib *inbox.Inbox, h func(context.Context, *sql.Tx) error) error {
		hold, err := ib.ClaimPartition(t.Context(), b.DB, "orders", 2)
		require.NoError(t, err)
		_, err = ib.ProcessBatch(t.Context(), b.DB, orders(size),
			func(ctx context.Context, tx *sql.Tx, _ []inbox.Message) error { return h(ctx, tx) },
			append(opts, inbox.WithPartitionClaim(hold))...)
		moved := b.count(t, "SELECT count(*) FROM inbox_offsets WHERE consumer = ? AND next_offset IS NOT NULL",
			ib.Consumer())
		require.Equal(t, err == nil, moved == 1, "the offset moves if all is well")
		return err
	}
}

// endings are statements that end the transaction, which database/sql does not notice.
func (b bench) endings() map[string][]string {
	begin := "BEGIN"
	all := map[string][]string{
		"ROLLBACK": {"ROLLBACK"}, "COMMIT": {"COMMIT"}, "ROLLBACK and a new one": {"ROLLBACK", begin},
		"COMMIT and a new one": {"COMMIT", begin},
	}
	if b.Dialect == db.MySQL {
		all["DDL"] = []string{"CREATE TABLE IF NOT EXISTS made_by_a_handler (id int)"}
	}
	return all
}

// Hazard ended-transaction.
// The handler writes one half of its effect, ends the transaction in SQL, and writes the other half outside of it: the
// id is gone with the first half, or committed with it alone. COMMIT succeeds all the same.
func TestATransactionThatEndsInSQLIsFoundOut(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		for way, handle := range waysIn {
			for ending, statements := range b.endings() {
				name, runs := way+", "+ending, 0
				err := handle(t, b, b.inbox(t, name), func(ctx context.Context, tx *sql.Tx) error {
					runs++
					require.NoError(t, b.effect("first half")(ctx, tx), name)
					for _, statement := range statements {
						_, err := tx.ExecContext(ctx, statement)
						require.NoError(t, err, name)
					}
					return b.effect("second half")(ctx, tx)
				})
				require.ErrorIs(t, err, inbox.ErrHandlerEndedTx, name)
				require.Equal(t, 1, runs, "%s: not again, a part of its effect may be committed", name)
				require.Zero(t, b.count(t, "SELECT count(*) FROM inbox_attempts"), name)
			}
		}
	})
}

// Hazard ended-transaction.
// And then it returns an error. Run again, the message would pass for a duplicate with half its effect.
func TestAnErrorAfterACommitInSQLIsNoAttempt(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		for _, way := range []string{"Process", "ProcessBatch", "ProcessBatch in a hold"} {
			runs := 0
			err := waysIn[way](t, b, b.inbox(t, way), func(ctx context.Context, tx *sql.Tx) error {
				runs++
				_, err := tx.ExecContext(ctx, "COMMIT")
				return errors.Join(err, errHandler)
			})
			require.ErrorIs(t, err, inbox.ErrHandlerEndedTx, way)
			require.ErrorIs(t, err, errHandler, way)
			require.Equal(t, 1, runs, way)
		}
	})
}

// A replay keeps the message parked, and says why.
func TestAReplayWhoseTransactionEndsInSQLFails(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1))
		b.stuck(t, ib)
		n, err := ib.Replay(t.Context(), b.DB, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
			_, err := tx.ExecContext(ctx, "ROLLBACK")
			return err
		})
		require.NoError(t, err)
		require.Zero(t, n)
		require.Equal(t, 1,
			b.count(t, "SELECT count(*) FROM inbox_parked WHERE message_id = '1' AND state = 'failed' AND "+
				"error LIKE '%ended the transaction%'"))
		require.Equal(t, 3, b.count(t, "SELECT count(*) FROM inbox_parked"))
	})
}

// A handler may use savepoints as it likes.
func TestAHandlersOwnSavepointsAreNoEndOfItsTransaction(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		for way, handle := range waysIn {
			require.NoError(t, handle(t, b, b.inbox(t, way), func(ctx context.Context, tx *sql.Tx) error {
				for _, statement := range []string{
					"SAVEPOINT one", "INSERT INTO effects VALUES ('gone')", "ROLLBACK TO SAVEPOINT one",
					"SAVEPOINT two",
					"RELEASE SAVEPOINT two", "SAVEPOINT left_open",
				} {
					if _, err := tx.ExecContext(ctx, statement); err != nil {
						return fmt.Errorf("%s: %w", statement, err)
					}
				}
				return b.effect(way)(ctx, tx)
			}), way)
			require.Equal(t, 1, b.count(t, "SELECT count(*) FROM effects WHERE message_id = ?", way), way)
		}
		require.Zero(t, b.count(t, "SELECT count(*) FROM effects WHERE message_id = 'gone'"))
	})
}

// deadlocked makes tx, which has locked account 1, the victim of a deadlock with a transaction that has written more,
// and returns what tx is told.
func (b bench) deadlocked(t *testing.T, ctx context.Context, tx *sql.Tx) error {
	t.Helper()
	const add = "UPDATE accounts SET balance = balance + 1 WHERE id = "
	_, err := tx.ExecContext(ctx, add+"1")
	require.NoError(t, err)
	other := b.begin(t)
	for range 100 { // InnoDB ends the one that has written less
		_, err = other.ExecContext(ctx, "INSERT INTO effects VALUES ('the other')")
		require.NoError(t, err)
	}
	_, err = other.ExecContext(ctx, add+"2")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := other.ExecContext(ctx, add+"1")
		done <- errors.Join(err, other.Rollback())
	}()
	b.untilWaiting(t)
	_, err = tx.ExecContext(ctx, add+"2")
	require.True(t, db.IsSerialization(err), "%v", err)
	require.NoError(t, <-done)
	return err
}

// Hazard ended-transaction.
// MySQL rolls the victim of a deadlock back, and what the handler writes next is in no transaction.
func TestADeadlockWhoseErrorIsIgnoredIsFoundOut(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.MariaDB(t)))
	for way, handle := range waysIn {
		b.exec(t, "DELETE FROM effects")
		runs := 0
		err := handle(t, b, b.inbox(t, way), func(ctx context.Context, tx *sql.Tx) error {
			runs++
			require.NoError(t, b.effect("first half")(ctx, tx))
			_ = b.deadlocked(t, ctx, tx)
			return b.effect("second half")(ctx, tx)
		})
		require.ErrorIs(t, err, inbox.ErrHandlerEndedTx, way)
		require.Equal(t, 1, runs, way)
		require.Zero(t, b.count(t, "SELECT count(*) FROM effects WHERE message_id = 'first half'"), way)
	}
}

// A handler that formats the error of a deadlock with %v hides its number, and the transaction is gone all the same.
func TestADeadlockWhoseErrorIsHiddenCountsNoAttempt(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.MariaDB(t)))
	for way, handle := range waysIn {
		b.exec(t, "DELETE FROM effects")
		runs := 0
		require.NoError(t, handle(t, b, b.inbox(t, way, inbox.WithMaxAttempts(1)),
			func(ctx context.Context, tx *sql.Tx) error {
				if runs++; runs == 1 {
					// it is what the test is about
					return fmt.Errorf("move money: %v", b.deadlocked(t, ctx, tx)) //nolint:errorlint
				}
				return b.effect("applied")(ctx, tx)
			}), way)
		require.Zero(t, b.count(t, "SELECT count(*) FROM inbox_parked"), way)
		require.Positive(t, b.effects(t), way)
	}
}
