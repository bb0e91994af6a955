package inbox_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/faultdb"
)

// faultAt injects fault into the n-th statement (from 1) that contains part.
func faultAt(part string, n int, fault faultdb.Fault) faultdb.Hook {
	var mu sync.Mutex
	seen := 0
	return func(statement string) faultdb.Fault {
		mu.Lock()
		defer mu.Unlock()
		if strings.Contains(statement, part) {
			if seen++; seen == n {
				return fault
			}
		}
		return faultdb.Fault{}
	}
}

func (b bench) faulty(t *testing.T, hook faultdb.Hook) *sql.DB {
	t.Helper()
	db := faultdb.Open(b.DB, hook)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func TestAConnectionLostAtAnyPointLeavesOneEffect(t *testing.T) {
	cases := []struct {
		name  string
		at    string
		fault faultdb.Fault
		runs  int // of the handler
	}{
		{"before BEGIN", faultdb.Begin, faultdb.LoseRequest(), 1},
		{"after BEGIN", faultdb.Begin, faultdb.LoseAnswer(), 1},
		{"before the inbox row", "inbox_events", faultdb.LoseRequest(), 1},
		{"after the inbox row", "inbox_events", faultdb.LoseAnswer(), 1},
		{"before the handler's statement", "effects", faultdb.LoseRequest(), 2},
		{"after the handler's statement", "effects", faultdb.LoseAnswer(), 2},
		{"before COMMIT: it did not take effect", faultdb.Commit, faultdb.LoseRequest(), 2},
		{"after COMMIT: it took effect, and nobody knows", faultdb.Commit, faultdb.LoseAnswer(), 1},
	}
	each(t, func(t *testing.T, b bench) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				b.exec(t, "DELETE FROM effects")
				db := b.faulty(t, faultAt(c.at, 1, c.fault))
				// One attempt: nothing of this may count as one.
				ib, m := b.inbox(t, "billing", inbox.WithMaxAttempts(1)), inbox.Message{ID: c.name}
				runs := 0
				outcome, err := ib.Process(t.Context(), db, m, func(ctx context.Context, tx *sql.Tx) error {
					runs++
					return b.effect("m")(ctx, tx)
				})
				require.NoError(t, err)
				require.Equal(t, inbox.Applied, outcome)
				require.Equal(t, c.runs, runs)
				require.Equal(t, 1, b.effects(t))

				outcome, err = ib.Process(t.Context(), db, m, b.effect("m"))
				require.NoError(t, err)
				require.Equal(t, inbox.Duplicate, outcome)
				require.Equal(t, 1, b.effects(t))
			})
		}
	})
}

// withoutAccept is Process with the rule taken out that a COMMIT without an answer is
// resolved by accepting the message again: it repeats the handler.
func withoutAccept(ctx context.Context, ib *inbox.Inbox, db *sql.DB, m inbox.Message,
	h func(context.Context, *sql.Tx) error) error {
	for accept := true; ; accept = false {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if accept {
			if _, err := ib.Accept(ctx, tx, m); err != nil {
				return errors.Join(err, tx.Rollback())
			}
		}
		if err := h(ctx, tx); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		if err := tx.Commit(); err == nil {
			return nil
		}
	}
}

func TestRepeatingTheHandlerAloneAfterALostCommitAppliesTwice(t *testing.T) {
	b := onSQLite(t)
	db := b.faulty(t, faultAt(faultdb.Commit, 1, faultdb.LoseAnswer()))
	require.NoError(t, withoutAccept(t.Context(), b.inbox(t, "billing"), db, inbox.Message{ID: "m"}, b.effect("m")))
	require.Equal(t, 2, b.effects(t), "the fault is one that the rule must mend")
}

func TestALostCommitThatDidNotTakeEffectIsNoExcuseForALaterDuplicate(t *testing.T) {
	// The first COMMIT is lost on its way. Then the handler fails once, and in that pause
	// another delivery is applied: the message is a duplicate now.
	b := onSQLite(t)
	db := b.faulty(t, faultAt(faultdb.Commit, 1, faultdb.LoseRequest()))
	m := inbox.Message{ID: "m"}
	other := b.inbox(t, "billing")
	runs := 0
	ib := b.inbox(t, "billing", inbox.WithSleep(func(ctx context.Context, _ time.Duration) error {
		if runs == 2 {
			_, err := other.Process(ctx, b.DB, m, b.effect("m"))
			require.NoError(t, err)
		}
		return nil
	}))
	outcome, err := ib.Process(t.Context(), db, m, func(ctx context.Context, tx *sql.Tx) error {
		if runs++; runs == 2 {
			return errHandler
		}
		return b.effect("m")(ctx, tx)
	})
	require.NoError(t, err)
	require.Equal(t, inbox.Duplicate, outcome)
	require.Equal(t, 1, b.effects(t))
}

func TestAMessageThatBreaksTheConnectionEveryTimeIsGivenUp(t *testing.T) {
	b := onSQLite(t)
	db := b.faulty(t, func(statement string) faultdb.Fault {
		if strings.Contains(statement, "effects") {
			return faultdb.LoseRequest()
		}
		return faultdb.Fault{}
	})
	runs := 0
	_, err := b.inbox(t, "billing", inbox.WithMaxAttempts(3)).Process(
		t.Context(), db, inbox.Message{ID: "poison"}, func(ctx context.Context, tx *sql.Tx) error {
			runs++
			return b.effect("m")(ctx, tx)
		})
	var attempts *inbox.AttemptsError
	require.ErrorAs(t, err, &attempts)
	require.Equal(t, 3, attempts.Attempts)
	require.Equal(t, inbox.MaxLosses-1+3, runs)
}

func TestANetworkErrorOfTheHandlersOwnIsAnAttempt(t *testing.T) {
	b := onSQLite(t)
	_, err := b.inbox(t, "billing", inbox.WithMaxAttempts(2)).Process(
		t.Context(), b.DB, inbox.Message{ID: "m"}, func(context.Context, *sql.Tx) error {
			// of a payment service, say
			return &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
		})
	var attempts *inbox.AttemptsError
	require.ErrorAs(t, err, &attempts)
	require.Equal(t, 2, attempts.Attempts)
}

type sqliteBusy struct{}

func (sqliteBusy) Error() string { return "database is locked (5) (SQLITE_BUSY)" }
func (sqliteBusy) Code() int     { return 5 }

func TestABusyDatabaseIsTriedAgainWithoutCountingAnAttempt(t *testing.T) {
	for _, at := range []string{faultdb.Begin, "inbox_events", "effects", faultdb.Commit} {
		t.Run(at, func(t *testing.T) {
			b := onSQLite(t)
			busy := 0
			db := b.faulty(t, func(statement string) faultdb.Fault {
				if !strings.Contains(statement, at) || busy == 20 {
					return faultdb.Fault{}
				}
				busy++
				return faultdb.Fail(sqliteBusy{})
			})
			outcome, err := b.inbox(t, "billing", inbox.WithMaxAttempts(1)).Process(
				t.Context(), db, inbox.Message{ID: "m"}, b.effect("m"))
			require.NoError(t, err)
			require.Equal(t, inbox.Applied, outcome)
			require.Equal(t, 20, busy)
			require.Equal(t, 1, b.effects(t))
		})
	}
}

func TestAnOutageIsRiddenOutAndLoggedOnce(t *testing.T) {
	b := onSQLite(t)
	tries := 0
	db := b.faulty(t, func(statement string) faultdb.Fault {
		if statement == faultdb.Begin {
			if tries++; tries <= 50 {
				return faultdb.LoseRequest()
			}
		}
		return faultdb.Fault{}
	})
	var log bytes.Buffer
	ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1), inbox.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	outcome, err := ib.Process(t.Context(), db, inbox.Message{ID: "m"}, b.effect("m"))
	require.NoError(t, err)
	require.Equal(t, inbox.Applied, outcome)
	require.Equal(t, 51, tries)
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	require.Len(t, lines, 2, "one line per change, not one per try")
	require.Contains(t, lines[0], "out of reach")
	require.Contains(t, lines[0], "consumer=billing message_id=m")
	require.Contains(t, lines[1], "is back")
}

func TestAnOutageEndsWithTheContext(t *testing.T) {
	b := onSQLite(t)
	ctx, cancel := context.WithCancel(t.Context())
	tries := 0
	db := b.faulty(t, func(string) faultdb.Fault {
		if tries++; tries == 10 {
			cancel()
		}
		return faultdb.LoseRequest()
	})
	outcome, err := b.inbox(t, "billing").Process(ctx, db, inbox.Message{ID: "m"}, b.effect("m"))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "unexpected EOF", "the error says what it was busy with")
	require.Equal(t, inbox.Failed, outcome)
	require.Equal(t, 10, tries)
}
