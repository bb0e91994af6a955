package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
)

var errHandler = errors.New("the handler's own error")

func TestProcessAppliesAMessageOnce(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		ib, m := b.inbox(t, "billing"), inbox.Message{ID: "m"}
		outcome, err := ib.Process(t.Context(), b.DB, m, b.effect("m"))
		require.NoError(t, err)
		require.Equal(t, inbox.Applied, outcome)
		for range 2 {
			outcome, err = ib.Process(t.Context(), b.DB, m, func(context.Context, *sql.Tx) error {
				t.Error("the handler of a duplicate must not run")
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, inbox.Duplicate, outcome)
		}
		require.Equal(t, 1, b.effects(t))
	})
}

func TestProcessAndPruneWorkThroughAPoolerInTransactionMode(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.PgBouncer(t)))
	ib := b.inbox(t, "billing")
	for n := range 10 {
		outcome, err := ib.Process(t.Context(), b.DB, inbox.Message{ID: fmt.Sprint(n / 2)}, b.effect("m"))
		require.NoError(t, err)
		require.Equal(t, []inbox.Outcome{inbox.Applied, inbox.Duplicate}[n%2], outcome)
	}
	require.Equal(t, 5, b.effects(t))
	b.makeOlder(t, 2*week)
	deleted, err := ib.Prune(t.Context(), b.DB, inbox.PruneOptions{Retention: week, BatchSize: 2})
	require.NoError(t, err)
	require.Equal(t, int64(5), deleted)
}

func TestAFailingHandlerIsRunAgainUpToItsAttempts(t *testing.T) {
	cases := []struct {
		name     string
		max      int
		failures int
		outcome  inbox.Outcome
		runs     int
	}{
		{"it succeeds at once", 3, 0, inbox.Applied, 1},
		{"it succeeds at the last attempt", 3, 2, inbox.Applied, 3},
		{"it never succeeds", 3, 9, inbox.Failed, 3},
		{"it has one attempt", 1, 9, inbox.Failed, 1},
	}
	each(t, func(t *testing.T, b bench) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				b.exec(t, "DELETE FROM effects")
				ib, m := b.inbox(t, "billing", inbox.WithMaxAttempts(c.max)), inbox.Message{ID: c.name}
				runs := 0
				outcome, err := ib.Process(t.Context(), b.DB, m, func(ctx context.Context, tx *sql.Tx) error {
					runs++
					require.NoError(t, b.effect("m")(ctx, tx))
					if runs <= c.failures {
						return errHandler
					}
					return nil
				})
				require.Equal(t, c.outcome, outcome)
				require.Equal(t, c.runs, runs)
				if c.outcome == inbox.Applied {
					require.NoError(t, err)
					require.Equal(t, 1, b.effects(t), "the effects of failed attempts are rolled back")
					return
				}
				require.ErrorIs(t, err, errHandler)
				var attempts *inbox.AttemptsError
				require.ErrorAs(t, err, &attempts)
				require.Equal(t,
					inbox.AttemptsError{Consumer: "billing", MessageID: m.ID, Attempts: c.runs, Err: errHandler},
					*attempts)
				require.Zero(t, b.effects(t))

				outcome, err = ib.Process(t.Context(), b.DB, m, b.effect("m"))
				require.NoError(t, err)
				require.Equal(t, inbox.Applied, outcome, "delivered again, it is still new")
			})
		}
	})
}

func TestPausesGrowToTheirMaximumWithJitter(t *testing.T) {
	b := onSQLite(t)
	var pauses []time.Duration
	record := func(_ context.Context, d time.Duration) error {
		pauses = append(pauses, d)
		return nil
	}
	ib := b.inbox(t, "billing", inbox.WithSleep(record), inbox.WithMaxAttempts(70),
		inbox.WithBackoff(100*time.Millisecond, time.Second))
	_, err := ib.Process(t.Context(), b.DB, inbox.Message{ID: "m"},
		func(context.Context, *sql.Tx) error { return errHandler })
	require.ErrorIs(t, err, errHandler)
	require.Len(t, pauses, 69, "no pause after the last attempt")
	full, different := 100*time.Millisecond, map[time.Duration]bool{}
	for n, pause := range pauses {
		require.GreaterOrEqual(t, pause, full/2, "pause %d", n)
		require.LessOrEqual(t, pause, full, "pause %d", n)
		different[pause] = true
		full = min(2*full, time.Second)
	}
	require.Greater(t, len(different), 60, "pauses are random")
}

func TestAPanicIsAFailedAttempt(t *testing.T) {
	b := onSQLite(t)
	ib := b.inbox(t, "billing", inbox.WithMaxAttempts(2))
	runs := 0
	outcome, err := ib.Process(t.Context(), b.DB, inbox.Message{ID: "m"}, func(ctx context.Context, tx *sql.Tx) error {
		runs++
		require.NoError(t, b.effect("m")(ctx, tx))
		panic(fmt.Errorf("nil map: %w", errHandler))
	})
	require.Equal(t, inbox.Failed, outcome)
	require.Equal(t, 2, runs)
	require.Zero(t, b.effects(t))
	require.ErrorIs(t, err, errHandler, "an error that was panicked with can be found")
	require.ErrorContains(t, err, "failed 2 times on message \"m\": the handler panicked: nil map")
	var panicked *inbox.PanicError
	require.ErrorAs(t, err, &panicked)
	require.Contains(t, string(panicked.Stack), "TestAPanicIsAFailedAttempt", "the stack says where")
	require.NotContains(t, err.Error(), "goroutine", "the stack is not part of the message")
}

func TestAHandlerThatEndsItsGoroutineHoldsNoTransaction(t *testing.T) {
	b := onSQLite(t)
	ib, m := b.inbox(t, "billing"), inbox.Message{ID: "m"}
	var done sync.WaitGroup
	done.Go(func() {
		_, _ = ib.Process(context.Background(), b.DB, m, func(ctx context.Context, tx *sql.Tx) error {
			_ = b.effect("m")(ctx, tx)
			runtime.Goexit() // as t.FailNow does; an open transaction would block SQLite's next writer
			return nil
		})
	})
	done.Wait()
	outcome, err := ib.Process(t.Context(), b.DB, m, b.effect("m"))
	require.NoError(t, err)
	require.Equal(t, inbox.Applied, outcome)
	require.Equal(t, 1, b.effects(t))
}

func TestAHandlerThatEndsTheTransactionIsFoundOut(t *testing.T) {
	cases := []struct {
		name string
		end  func(*sql.Tx) error
	}{
		{"by Commit", (*sql.Tx).Commit},
		{"by Rollback", (*sql.Tx).Rollback},
		{"by Commit, and an error", func(tx *sql.Tx) error { return errors.Join(tx.Commit(), errHandler) }},
		{"by Rollback, and an error", func(tx *sql.Tx) error { return errors.Join(tx.Rollback(), errHandler) }},
	}
	each(t, func(t *testing.T, b bench) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				runs := 0
				outcome, err := b.inbox(t, "billing").Process(
					t.Context(), b.DB, inbox.Message{ID: c.name}, func(_ context.Context, tx *sql.Tx) error {
						runs++
						return c.end(tx)
					})
				require.ErrorIs(t, err, inbox.ErrHandlerEndedTx)
				require.Equal(t, inbox.Failed, outcome)
				require.Equal(t, 1, runs, "it is not run again: its effect may be committed")
			})
		}
	})
}

// PostgreSQL gives up a transaction at its first error: our statements after the handler are refused, and
// COMMIT rolls back.
func TestAFailedStatementWhoseErrorIsHiddenFailsTheAttempt(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.PostgreSQL(t)))
	ib := b.inbox(t, "billing", inbox.WithMaxAttempts(2))
	runs := 0
	hiding := func(ctx context.Context, tx *sql.Tx) error {
		runs++
		require.NoError(t, b.effect("m")(ctx, tx))
		_, err := tx.ExecContext(ctx, "SELECT no_such_column")
		require.Error(t, err)
		return nil
	}
	outcome, err := ib.Process(t.Context(), b.DB, inbox.Message{ID: "m"}, hiding)
	var attempts *inbox.AttemptsError
	require.ErrorAs(t, err, &attempts)
	require.Equal(t, 2, attempts.Attempts)
	require.Equal(t, inbox.Failed, outcome)

	runs = 0
	require.Equal(t, inbox.Parked, b.process(t, ib, order("1", "k"), hiding))
	require.Equal(t, 2, runs)
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM inbox_parked WHERE error LIKE '%did not return the error%'"))
	require.Zero(t, b.effects(t))

	for name, opts := range map[string]func(h *inbox.PartitionClaim) []inbox.BatchOption{
		"by ids": func(*inbox.PartitionClaim) []inbox.BatchOption { return nil },
		"by an offset": func(h *inbox.PartitionClaim) []inbox.BatchOption {
			return []inbox.BatchOption{inbox.WithPartitionClaim(h), inbox.WithoutIDs()}
		},
	} {
		b.exec(t, "DELETE FROM effects")
		ib, calls := b.inbox(t, name, inbox.WithMaxAttempts(2)), 0
		h, err := ib.ClaimPartition(t.Context(), b.DB, "orders", 2)
		require.NoError(t, err)
		outcomes, err := ib.ProcessBatch(t.Context(), b.DB, orders(4),
			func(ctx context.Context, tx *sql.Tx, ms []inbox.Message) error {
				for _, m := range ms {
					if m.ID == "002" {
						return hiding(ctx, tx)
					}
				}
				return b.applyAll(&calls)(ctx, tx, ms)
			}, opts(h)...)
		require.NoError(t, err, name)
		require.Equal(t, []inbox.Outcome{inbox.Applied, inbox.Applied, inbox.Parked, inbox.Applied}, outcomes, name)
		require.Equal(t, 3, b.effects(t), name)
	}
}

// Hazard crossed-batches: the messages have a topic, so that attempts are counted in the
// database, and have one.
func TestADeadlockIsRunAgainWithoutCountingAnAttempt(t *testing.T) {
	ways := map[string]func(ib *inbox.Inbox, b bench, id string, h func(context.Context, *sql.Tx) error) (
		inbox.Outcome, error){
		"Process": func(ib *inbox.Inbox, b bench, id string, h func(context.Context, *sql.Tx) error) (
			inbox.Outcome, error) {
			return ib.Process(t.Context(), b.DB, order(id, id), h)
		},
		"ProcessBatch": func(ib *inbox.Inbox, b bench, id string, h func(context.Context, *sql.Tx) error) (
			inbox.Outcome, error) {
			outcomes, err := ib.ProcessBatch(t.Context(), b.DB, []inbox.Message{order(id, id), order(id+"2", id)},
				func(ctx context.Context, tx *sql.Tx, ms []inbox.Message) error {
					if ms[0].ID != id { // the second half
						return nil
					}
					return h(ctx, tx)
				}, inbox.WithStream(id))
			return outcomes[0], err
		},
	}
	each(t, func(t *testing.T, b bench) {
		if b.Dialect == db.SQLite {
			t.Log("SQLite has one writer at a time, and so no deadlock; see TestABusyDatabase…")
			return
		}
		for name, way := range ways {
			ib := b.inbox(t, name, inbox.WithMaxAttempts(1))
			b.exec(t, "UPDATE accounts SET balance = 0")
			// Both lock their first account before either asks for its second.
			var locked sync.WaitGroup
			locked.Add(2)
			var mu sync.Mutex
			runs := 0
			transfer := func(first, second int) func(context.Context, *sql.Tx) error {
				var once sync.Once
				return func(ctx context.Context, tx *sql.Tx) error {
					mu.Lock()
					runs++
					mu.Unlock()
					add := b.sql("UPDATE accounts SET balance = balance + 1 WHERE id = ?")
					if _, err := tx.ExecContext(ctx, add, first); err != nil {
						return err
					}
					once.Do(func() {
						locked.Done()
						locked.Wait()
					})
					if _, err := tx.ExecContext(ctx, add, second); err != nil {
						return fmt.Errorf("move money: %w", err)
					}
					return nil
				}
			}
			var done sync.WaitGroup
			for id, order := range map[string][2]int{"there": {1, 2}, "back": {2, 1}} {
				done.Go(func() {
					outcome, err := way(ib, b, id, transfer(order[0], order[1]))
					if err != nil || outcome != inbox.Applied {
						t.Errorf("%s, %s: %s, %v", name, id, outcome, err)
					}
				})
			}
			done.Wait()
			require.GreaterOrEqual(t, runs, 3, "one of the two was run again")
			require.Equal(t, 2, b.count(t, "SELECT balance FROM accounts WHERE id = 1"))
			require.Equal(t, 2, b.count(t, "SELECT balance FROM accounts WHERE id = 2"))
			b.clean(t)
		}
	})
}

func TestProcessEndsWithItsContext(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		ib, m := b.inbox(t, "billing"), inbox.Message{ID: "m"}
		t.Run("before it begins", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			outcome, err := ib.Process(ctx, b.DB, m, b.effect("m"))
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, inbox.Failed, outcome)
		})
		t.Run("while the handler runs", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			runs := 0
			outcome, err := ib.Process(ctx, b.DB, m, func(ctx context.Context, tx *sql.Tx) error {
				runs++
				require.NoError(t, b.effect("m")(ctx, tx))
				cancel()
				return nil
			})
			require.ErrorIs(t, err, context.Canceled)
			require.NotErrorIs(t, err, inbox.ErrHandlerEndedTx)
			require.Equal(t, inbox.Failed, outcome)
			require.Equal(t, 1, runs)
		})
		t.Run("while it pauses", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			slow := b.inbox(t, "billing", inbox.WithSleep(func(ctx context.Context, _ time.Duration) error {
				cancel()
				return ctx.Err()
			}))
			_, err := slow.Process(ctx, b.DB, m, func(context.Context, *sql.Tx) error { return errHandler })
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorIs(t, err, errHandler, "the error says what it was busy with")
		})
		t.Run("a timeout of the handler's own is the handler's failure", func(t *testing.T) {
			once := b.inbox(t, "billing", inbox.WithMaxAttempts(1))
			_, err := once.Process(t.Context(), b.DB, m, func(ctx context.Context, tx *sql.Tx) error {
				ctx, cancel := context.WithTimeout(ctx, time.Nanosecond)
				defer cancel()
				_, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES ('late')")
				return err
			})
			var attempts *inbox.AttemptsError
			require.ErrorAs(t, err, &attempts)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
		require.Zero(t, b.effects(t))
		outcome, err := ib.Process(t.Context(), b.DB, m, b.effect("m"))
		require.NoError(t, err)
		require.Equal(t, inbox.Applied, outcome)
	})
}

func TestErrorsThatNoRepetitionMendsAreReturnedAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		ib := b.inbox(t, "billing", inbox.WithSleep(func(context.Context, time.Duration) error {
			t.Error("no pause is due")
			return nil
		}))
		outcome, err := ib.Process(t.Context(), b.DB, inbox.Message{ID: "m"}, b.effect("m"))
		require.ErrorContains(t, err, "relay migrate up")
		require.ErrorContains(t, err, "relay migrate print", "where all is applied and the table was dropped")
		require.Equal(t, inbox.Failed, outcome)

		require.NoError(t, b.DB.Close())
		_, err = ib.Process(t.Context(), b.DB, inbox.Message{ID: "m"}, b.effect("m"))
		require.ErrorContains(t, err, "database is closed")
	})
	b := onSQLite(t)
	ib := b.inbox(t, "billing")
	_, err := ib.Process(t.Context(), nil, inbox.Message{ID: "m"}, b.effect("m"))
	require.ErrorContains(t, err, "nil")
	_, err = ib.Process(t.Context(), b.DB, inbox.Message{ID: "m"}, nil)
	require.ErrorContains(t, err, "nil")
}
