package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/faultdb"
)

// waitingBehind is a key whose first message has failed and is to be retried, with n more behind it: k-0000, k-0001, …
func (b bench) waitingBehind(t *testing.T, key, state string, n int) {
	t.Helper()
	b.exec(t, "INSERT INTO inbox_blocked (consumer, topic, event_key) VALUES ('billing', 'orders', ?)", key)
	for first := 0; first <= n; first += 500 {
		var rows []string
		for at := first; at <= min(n, first+499); at++ {
			is, attempts := state, 0
			if at == 0 {
				attempts = 1
			} else if state == "retry" {
				is = "blocked"
			}
			rows = append(rows,
				fmt.Sprintf("('billing', '%s-%04d', 'orders', '%s', 'order.paid', '{}', 'p', %d, '%s')", key,
					at, key, attempts, is))
		}
		b.exec(t, "INSERT INTO inbox_parked (consumer, message_id, topic, event_key, event_type, headers, payload, "+
			"attempts, state) VALUES "+
			strings.Join(rows, ", "))
	}
}

// inOrder is a handler that counts what it applied, and wants each key's messages in order.
func (b bench) inOrder(applied map[string]int) inbox.Handler {
	return func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		if want := fmt.Sprintf("%s-%04d", m.Key, applied[m.Key]); m.ID != want {
			return fmt.Errorf("got %s, want %s", m.ID, want)
		}
		if err := b.applying(ctx, tx, m); err != nil {
			return err
		}
		applied[m.Key]++
		return nil
	}
}

// Messages that wait behind a failed one share transactions. One by one, of two transactions each, they are replayed
// more slowly than a busy key's messages are parked, and it never drains.
func TestTheMessagesOfAKeyAreReplayedInFewTransactions(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		for _, state := range []string{"retry", "drop"} {
			const n = 800
			begun, applied := 0, map[string]int{}
			db := b.faulty(t, func(statement string) faultdb.Fault {
				if statement == faultdb.Begin {
					begun++
				}
				return faultdb.Fault{}
			})
			b.waitingBehind(t, "k", state, n)
			ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1))
			done, err := ib.Replay(t.Context(), db, b.inOrder(applied))
			require.NoError(t, err)
			require.Equal(t, n+1, done)
			require.Less(t, begun, n/4, state)
			b.clean(t)
		}
		require.Equal(t, 801, b.effects(t))
	})
}

// While a long key is replayed somebody asks for a message of another one: it has the next turn, and does not wait
// for the first key's end.
func TestAnotherKeysRetryHasItsTurnWhileALongOneIsReplayed(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		b.waitingBehind(t, "k", "retry", 3_000)
		b.waitingBehind(t, "other", "failed", 0)
		applied, begun, asked, turn := map[string]int{}, 0, 0, 0
		db := b.faulty(t, func(statement string) faultdb.Fault {
			if statement != faultdb.Begin {
				return faultdb.Fault{}
			}
			if begun++; applied["k"] > 0 && asked == 0 {
				asked = begun
				b.ask(t, "other-0000", "retry") // SQLite has one writer, so it is asked for between two transactions
			}
			return faultdb.Fault{}
		})
		handle := b.inOrder(applied)
		done, err := b.inbox(t, "billing").Replay(t.Context(), db,
			func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
				if m.Key == "other" {
					turn = begun
				}
				return handle(ctx, tx, m)
			})
		require.NoError(t, err)
		require.Equal(t, 3_002, done)
		require.Positive(t, asked)
		require.LessOrEqual(t, turn-asked, 8, "transactions of the first key's before the other key's turn")
		b.clean(t)
	})
}

// An old snapshot keeps PostgreSQL from removing the rows that a replay deletes: a look from the key's beginning walks
// over all of them, each time.
func TestAReplayDoesNotWalkOverWhatItDeletedBefore(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.PostgreSQL(t)))
	const n = 2_000
	b.waitingBehind(t, "k", "retry", n)
	old, err := b.DB.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	require.NoError(t, err)
	defer old.Rollback()
	var there int
	require.NoError(t, old.QueryRowContext(t.Context(), "SELECT count(*) FROM inbox_parked").Scan(&there))

	// Connections of its own: they report what they read when they end.
	db, err := sql.Open("pgx", b.URL)
	require.NoError(t, err)
	read := func() int {
		return b.count(t,
			"SELECT coalesce(sum(idx_tup_read), 0) FROM pg_stat_user_indexes WHERE relname = 'inbox_parked'")
	}
	before := read()
	_, err = b.inbox(t, "billing").Replay(t.Context(), db, b.inOrder(map[string]int{}))
	require.NoError(t, err)
	require.NoError(t, db.Close())
	require.Eventually(t, func() bool { return read()-before >= n }, 30*time.Second, 20*time.Millisecond)
	require.Less(t, read()-before, 30*n, "rows walked over, for %d messages", n)
}

// A message that fails in company has failed only if it fails alone, and those before it are applied. Its attempt is
// counted once (hazard killed-batch).
func TestAMessageThatFailsAmongOthersIsTheOneThatFailed(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		b.waitingBehind(t, "k", "retry", 20)
		applied, runs := map[string]int{}, 0
		handle := b.inOrder(applied)
		ib := b.inbox(t, "billing")
		poisoned := func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
			if m.ID == "k-0007" {
				runs++
				applied["k"] = b.effects(t) // those of this transaction are not
				return errPoison
			}
			return handle(ctx, tx, m)
		}
		if b.Dialect == inbox.SQLite { // b.effects would wait for the writer
			poisoned = func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
				if m.ID == "k-0007" {
					runs++
					applied["k"] = 1
					return errPoison
				}
				return handle(ctx, tx, m)
			}
		}
		done, err := ib.Replay(t.Context(), b.DB, poisoned)
		require.NoError(t, err)
		require.Equal(t, 7, done)
		require.Equal(t, 7, b.effects(t))
		require.Equal(t, 2, runs)
		state, attempts := b.state(t, "k-0007")
		require.Equal(t, "failed", state)
		require.Equal(t, 1, attempts)
		require.Equal(t, 13, b.count(t, "SELECT count(*) FROM inbox_parked WHERE state = 'blocked' AND attempts = 0"))

		applied["k"] = 7
		b.ask(t, "k-0007", "retry")
		done, err = ib.Replay(t.Context(), b.DB, handle)
		require.NoError(t, err)
		require.Equal(t, 14, done)
		b.clean(t)
	})
}

// A message kills the process among others, and then alone: after the first time nobody knows which it was, so all run
// alone (hazard killed-batch).
func TestAfterAProcessIsKilledAmongSeveralMessagesTheyRunAlone(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		b.waitingBehind(t, "k", "retry", 10)
		ib := b.inbox(t, "billing")
		transactions := map[*sql.Tx]int{}
		killing := func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
			transactions[tx]++
			if m.ID == "k-0005" {
				runtime.Goexit()
			}
			return b.applying(ctx, tx, m)
		}
		replay := func() {
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _ = ib.Replay(context.WithoutCancel(t.Context()), b.DB, killing)
			}()
			<-ended
		}
		replay()
		require.Equal(t, 1, b.effects(t), "the first ran alone, for it had failed before")
		state, attempts := b.state(t, "k-0001")
		require.Equal(t, "failed", state, "not begun again by itself")
		require.Equal(t, 1, attempts)

		clear(transactions)
		b.ask(t, "k-0001", "retry")
		replay()
		require.Equal(t, 5, b.effects(t))
		for _, n := range transactions {
			require.Equal(t, 1, n, "messages of a transaction")
		}
		state, _ = b.state(t, "k-0005")
		require.Equal(t, "failed", state)
		require.Equal(t, 1, b.count(t, "SELECT count(*) FROM inbox_parked WHERE state = 'failed'"))

		b.ask(t, "k-0005", "retry")
		require.Equal(t, 6, b.replayed(t, ib))
		require.Equal(t, 11, b.effects(t))
		b.clean(t)
	})
}

// A handler that rolls the transaction back by a statement of its own has left nothing: its message must stay.
func TestAReplayedHandlerThatRollsBackByItselfHasFailed(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		b.waitingBehind(t, "k", "retry", 3)
		done, err := b.inbox(t, "billing").Replay(t.Context(), b.DB,
			func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
				if err := b.applying(ctx, tx, m); err != nil || m.ID != "k-0003" {
					return err
				}
				_, err := tx.ExecContext(ctx, "ROLLBACK")
				return err
			})
		require.NoError(t, err)
		require.Equal(t, 3, done)
		require.Equal(t, 3, b.effects(t))
		state, _ := b.state(t, "k-0003")
		require.Equal(t, "failed", state)
		require.Equal(t, 1, b.count(t, "SELECT count(*) FROM inbox_parked WHERE error LIKE '%ended the transaction%'"))
		require.Equal(t, 1, b.count(t, "SELECT count(*) FROM inbox_parked"))
	})
}

// Hazard ended-transaction.
// A handler that commits among several messages has committed the effects so far: they must not come twice, and those
// behind must not be lost.
func TestAReplayedHandlerThatCommitsAmongSeveralAppliesEachOnce(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		b.waitingBehind(t, "k", "retry", 6)
		_, err := b.inbox(t, "billing").Replay(t.Context(), b.DB,
			func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
				if err := b.applying(ctx, tx, m); err != nil || m.ID != "k-0003" {
					return err
				}
				return tx.Commit()
			})
		require.NoError(t, err)
		require.Equal(t, 7, b.effects(t))
		require.Equal(t, 7, b.count(t, "SELECT count(DISTINCT message_id) FROM effects"))
		b.clean(t)
	})
}

// Handlers that take longer than a key's turn: what was claimed and did not run has had no attempt, and fewer are
// claimed the next time.
func TestWhatATurnHasNoTimeForIsGivenBack(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		const n = 40
		b.waitingBehind(t, "k", "retry", n)
		applied, claimed, given := map[string]int{}, 0, 0
		db := b.faulty(t, func(statement string) faultdb.Fault {
			if statement == faultdb.Begin { // between two transactions
				claimed = max(claimed, b.count(t, "SELECT count(*) FROM inbox_parked WHERE attempts > 0"))
				if applied["k"] == 2 {
					given = b.count(t, "SELECT count(*) FROM inbox_parked WHERE attempts > 0")
				}
			}
			return faultdb.Fault{}
		})
		done, err := b.inbox(t, "billing", inbox.WithTurn(1)).Replay(t.Context(), db, b.inOrder(applied))
		require.NoError(t, err)
		require.Equal(t, n+1, done)
		require.Greater(t, claimed, 30, "the first time")
		require.LessOrEqual(t, given, 2, "from then on")
		b.clean(t)
	})
}

// Conflicts of others make transactions smaller, and cost no attempt.
func TestAConflictAmongSeveralMessagesMakesTheTransactionSmaller(t *testing.T) {
	b := onSQLite(t)
	b.waitingBehind(t, "k", "retry", 100)
	applied, together := map[string]int{}, map[*sql.Tx]int{}
	handle := b.inOrder(applied)
	_, err := b.inbox(t, "billing").Replay(t.Context(), b.DB,
		func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
			if together[tx]++; together[tx] > 4 {
				applied["k"] -= together[tx] - 1
				return busy{}
			}
			return handle(ctx, tx, m)
		})
	require.NoError(t, err)
	require.Equal(t, 101, b.effects(t))
	b.clean(t)
}

// busy is what SQLite says when another transaction is in the way.
type busy struct{}

func (busy) Error() string { return "database is locked" }
func (busy) Code() int     { return 5 }

// Hazard interrupted-replay.
// What an operator asks of a row between its claim and its turn is done.
func TestARowThatIsDroppedWhileItsKeyIsReplayedIsNotRun(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		b.waitingBehind(t, "k", "retry", 10)
		begun := 0
		db := b.faulty(t, func(statement string) faultdb.Fault {
			if statement == faultdb.Begin {
				if begun++; begun == 4 { // claim and run the first, claim the others
					b.ask(t, "k-0004", "drop")
				}
			}
			return faultdb.Fault{}
		})
		ib := b.inbox(t, "billing", inbox.WithLogger(slog.New(slog.DiscardHandler)))
		done, err := ib.Replay(t.Context(), db, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
			if m.ID == "k-0004" {
				return errors.New("it is to be dropped")
			}
			return b.applying(ctx, tx, m)
		})
		require.NoError(t, err)
		require.Equal(t, 11, done)
		require.Equal(t, 10, b.effects(t))
		b.clean(t)
	})
}
