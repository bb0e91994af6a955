package inbox_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/faultdb"
	"github.com/postroom/postroom/internal/store/parked"
	"github.com/postroom/postroom/outbox"
)

var errPoison = errors.New("poison")

func order(id, key string) inbox.Message {
	return inbox.Message{ID: id, Topic: "orders", Key: key, Type: "order.paid",
		Headers: map[string]string{"trace": "1"}, Payload: []byte("p-" + id)}
}

// state returns the parked row of a message.
func (b bench) state(t *testing.T, id string) (state string, attempts int) {
	t.Helper()
	err := b.DB.QueryRowContext(t.Context(), b.sql("SELECT state, attempts FROM inbox_parked WHERE message_id = ?"),
		id).Scan(&state, &attempts)
	if errors.Is(err, sql.ErrNoRows) {
		return "", 0
	}
	require.NoError(t, err)
	return state, attempts
}

func (b bench) process(t *testing.T, ib *inbox.Inbox, m inbox.Message,
	h func(context.Context, *sql.Tx) error) inbox.Outcome {
	t.Helper()
	outcome, err := ib.Process(t.Context(), b.DB, m, h)
	require.NoError(t, err)
	return outcome
}

func poison(context.Context, *sql.Tx) error { return errPoison }

func (b bench) ask(t *testing.T, id, state string) {
	t.Helper()
	b.exec(t, "UPDATE inbox_parked SET state = ? WHERE message_id = ?", state, id)
}

// applying is a handler that leaves the message's id.
func (b bench) applying(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
	return b.effect(m.ID)(ctx, tx)
}

// clean says that nothing is left of attempts, blocked keys and parked messages.
func (b bench) clean(t *testing.T) {
	t.Helper()
	for _, table := range []string{"inbox_attempts", "inbox_blocked", "inbox_parked"} {
		require.Equal(t, 0, b.count(t, "SELECT count(*) FROM "+table), table)
	}
}

func TestAMessageThatFailsForGoodIsParkedWithTheLaterOnesOfItsKey(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing", inbox.WithMaxAttempts(3))
		runs := 0
		require.Equal(t, inbox.Parked, b.process(t, ib, order("1", "k"), func(ctx context.Context, tx *sql.Tx) error {
			runs++
			require.NoError(t, b.effect("1")(ctx, tx))
			return errPoison
		}))
		require.Equal(t, 3, runs)
		require.Equal(t, inbox.Parked, b.process(t, ib, order("2", "k"), b.effect("2")))
		require.Equal(t, inbox.Applied, b.process(t, ib, order("3", "other"), b.effect("3")))
		require.Equal(t, inbox.Duplicate, b.process(t, ib, order("1", "k"), b.effect("1")),
			"a copy of a parked message")
		require.Equal(t, inbox.Duplicate, b.process(t, ib, order("2", "k"), b.effect("2")))
		require.Equal(t, 1, b.effects(t))
		state, attempts := b.state(t, "1")
		require.Equal(t, "failed", state)
		require.Equal(t, 3, attempts)
		state, _ = b.state(t, "2")
		require.Equal(t, "blocked", state)

		n, err := ib.Replay(t.Context(), b.DB, b.applying)
		require.NoError(t, err)
		require.Zero(t, n, "nobody asked")

		b.ask(t, "1", "retry")
		n, err = ib.Replay(t.Context(), b.DB, func(context.Context, *sql.Tx, inbox.Message) error { panic("still") })
		require.NoError(t, err)
		require.Zero(t, n)
		state, attempts = b.state(t, "1")
		require.Equal(t, "failed", state)
		require.Equal(t, 4, attempts)

		b.ask(t, "1", "retry")
		var got []inbox.Message
		n, err = ib.Replay(t.Context(), b.DB, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
			got = append(got, m)
			return b.applying(ctx, tx, m)
		})
		require.NoError(t, err)
		require.Equal(t, 2, n)
		require.Equal(t, []inbox.Message{order("1", "k"), order("2", "k")}, got, "in order, as they came")
		b.clean(t)
		require.Equal(t, inbox.Applied, b.process(t, ib, order("4", "k"), b.effect("4")))
		require.Equal(t, 4, b.effects(t))
	})
}

func TestADroppedMessageLetsTheNextOfItsKeyRun(t *testing.T) {
	b := onSQLite(t)
	ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1))
	require.Equal(t, inbox.Parked, b.process(t, ib, order("1", "k"), poison))
	require.Equal(t, inbox.Parked, b.process(t, ib, order("2", "k"), b.effect("2")))
	require.Equal(t, inbox.Parked, b.process(t, ib, order("3", ""), poison))
	b.ask(t, "1", "drop")
	b.ask(t, "3", "drop")
	n, err := ib.Replay(t.Context(), b.DB, b.applying)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.Equal(t, 1, b.effects(t))
	b.clean(t)
}

// Nothing of a dropped message stays in the tables: the log keeps what it was and why it is gone.
func TestTheLogOfADropKeepsTheReason(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, nil))
		ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1), inbox.WithLogger(logger))
		require.Equal(t, inbox.Parked, b.process(t, ib, order("1", "secret"), poison))
		require.Equal(t, inbox.Parked, b.process(t, ib, order("2", ""), poison))
		operator, err := parked.Inbox(b.DB, db.Names{Dialect: b.Dialect})
		require.NoError(t, err)
		_, err = operator.Request(t.Context(), parked.Request{State: db.ParkedDrop, Reason: "a test order"})
		require.NoError(t, err)
		log.Reset()
		n, err := ib.Replay(t.Context(), b.DB, b.applying)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		for _, id := range []string{"1", "2"} { // of a key, and without one
			require.Regexp(t, `inbox: dropped a parked message, as requested" consumer=billing `+
				`message_id=`+id+` topic=orders seq=\d+ error="dropped: a test order; parked because: [^"]+"`,
				log.String())
		}
		require.NotContains(t, log.String(), "secret")
		require.NotContains(t, log.String(), "applied")
	})
}

func TestThePolicySaysWhatAFailureHoldsUp(t *testing.T) {
	b := onSQLite(t)
	skip := b.inbox(t, "skip", inbox.WithMaxAttempts(1), inbox.WithOnFailure(inbox.Skip))
	require.Equal(t, inbox.Parked, b.process(t, skip, order("1", "k"), poison))
	require.Equal(t, inbox.Applied, b.process(t, skip, order("2", "k"), b.effect("2")))
	b.ask(t, "1", "retry")
	n, err := skip.Replay(t.Context(), b.DB, b.applying)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	b.clean(t)

	halt := b.inbox(t, "halt", inbox.WithMaxAttempts(2), inbox.WithOnFailure(inbox.Halt))
	_, err = halt.Process(t.Context(), b.DB, order("1", "k"), poison)
	var attempts *inbox.AttemptsError
	require.ErrorAs(t, err, &attempts)
	require.Equal(t, 2, attempts.Attempts)
	b.clean(t)
	_, err = inbox.New(b.Dialect, "billing", inbox.WithOnFailure("sometimes"))
	require.ErrorContains(t, err, `"block-key", "skip" or "halt"`)
}

// Hazard attempt-as-done: attempts are counted where a rollback and the death of the process
// leave them, and a count is not taken for a handled message.
func TestHazardAMessageThatKillsTheProcessIsParked(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing", inbox.WithMaxAttempts(3))
		for range 3 { // processes that do not come back: a goroutine that ends leaves as little
			died := make(chan struct{})
			go func() {
				defer close(died)
				_, _ = ib.Process(context.WithoutCancel(t.Context()), b.DB, order("1", "k"),
					func(context.Context, *sql.Tx) error {
						runtime.Goexit()
						return nil
					})
			}()
			<-died
		}
		require.Equal(t, 3, b.count(t, "SELECT attempts FROM inbox_attempts WHERE message_id = '1'"))
		require.Equal(t, inbox.Parked, b.process(t, ib, order("1", "k"), b.effect("1")), "it is not run a fourth time")
		require.Equal(t, 1, b.count(t, "SELECT count(*) FROM inbox_parked WHERE error LIKE '%process ended%'"))
		require.Equal(t, 0, b.effects(t))

		// And one that survives is applied, whatever was counted before.
		b.exec(t, "INSERT INTO inbox_attempts (consumer, message_id, attempts) VALUES ('billing', '2', 2)")
		require.Equal(t, inbox.Applied, b.process(t, ib, order("2", "other"), b.effect("2")))
		require.Equal(t, 0, b.count(t, "SELECT count(*) FROM inbox_attempts"))
	})
}

func TestTheEndOfTheContextBurnsNoAttempt(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1))
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			_, err := ib.Process(ctx, b.DB, order("1", "k"), func(context.Context, *sql.Tx) error {
				cancel()
				return ctx.Err()
			})
			require.ErrorIs(t, err, context.Canceled)
		}
		require.Equal(t, inbox.Applied, b.process(t, ib, order("1", "k"), b.effect("1")))
		b.clean(t)
	})
}

// But an attempt that failed before ctx ended was one: a consumer that is restarted in each pause would run
// what fails for good for ever.
func TestAStopInThePauseGivesNoFailedAttemptBack(t *testing.T) {
	b := onSQLite(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stopped := b.inbox(t, "billing", inbox.WithMaxAttempts(2),
		inbox.WithSleep(func(ctx context.Context, _ time.Duration) error {
			cancel()
			return ctx.Err()
		}))
	_, err := stopped.Process(ctx, b.DB, order("1", "k"), poison)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, b.count(t, "SELECT attempts FROM inbox_attempts"))
	runs := 0
	require.Equal(t, inbox.Parked, b.process(t, b.inbox(t, "billing", inbox.WithMaxAttempts(2)), order("1", "k"),
		func(context.Context, *sql.Tx) error {
			runs++
			return errPoison
		}))
	require.Equal(t, 1, runs)
}

// Attempts in the database, too, are burnt by the handler alone.
func TestAConnectionLostAtAnyPointBurnsNoAttempt(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		ib, n := b.inbox(t, "billing", inbox.WithMaxAttempts(1)), 0
		for _, at := range []string{"inbox_attempts", faultdb.Begin, "inbox_events", "effects", faultdb.Commit} {
			for _, fault := range []faultdb.Fault{faultdb.LoseRequest(), faultdb.LoseAnswer()} {
				for nth := 1; nth <= 2; nth++ {
					n++
					db := b.faulty(t, faultAt(at, nth, fault))
					outcome, err := ib.Process(t.Context(), db, order(fmt.Sprint(n), "k"), b.effect("m"))
					require.NoError(t, err, at)
					require.Equal(t, inbox.Applied, outcome, at)
					require.Equal(t, n, b.effects(t), at)
					b.clean(t)
				}
			}
		}
	})
}

func TestWhatIsParkedComesBackExactly(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1))
		odd := inbox.Message{
			ID: "odd", Topic: "orders", Key: "\xff\x00binary", Type: "no\x00text", Payload: []byte{0, 0xff},
			Headers: map[string]string{"bytes": "\xfe\xff", "nul": "a\x00b", "empty": "", "quote": `"\`,
				"\xffname": "v", "\xfename": "w"},
			Position: &inbox.Position{Topic: "orders", Partition: 3, Offset: 9},
		}
		empty, tombstone, large := order("empty", "a"), order("tombstone", "b"), order("large", "c")
		empty.Payload, tombstone.Payload, large.Payload = []byte{}, nil, make([]byte, inbox.MaxParkedPayload+1)
		broken := order("broken", "d")
		broken.Err = errors.New("no such schema")
		for _, m := range []inbox.Message{odd, empty, tombstone, large, broken} {
			require.Equal(t, inbox.Parked, b.process(t, ib, m, poison))
		}
		require.Equal(t, 1,
			b.count(t, "SELECT count(*) FROM inbox_parked WHERE message_id = 'broken' AND error = 'no such "+
				"schema'"))
		b.exec(t, "UPDATE inbox_parked SET state = 'retry'")
		got := map[string]inbox.Message{}
		n, err := ib.Replay(t.Context(), b.DB, func(_ context.Context, _ *sql.Tx, m inbox.Message) error {
			got[m.ID] = m
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, 4, n, "the large one cannot be run: it is not there")
		require.Equal(t, odd, got["odd"])
		require.Equal(t, empty, got["empty"])
		require.Equal(t, tombstone, got["tombstone"])
		require.Equal(t, 1,
			b.count(t, "SELECT count(*) FROM inbox_parked WHERE message_id = 'large' AND error LIKE '%too "+
				"large%'"))
	})
}

// pgx behind pgbouncer in transaction mode: the error alone does not say what to change.
func TestAStatementThatAPoolerHasLostNamesTheSetting(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1))
		outcome := b.process(t, ib, order("m", "k"),
			func(context.Context, *sql.Tx) error { return sqlStateError("42P05") })
		require.Equal(t, inbox.Parked, outcome)
		require.Equal(t, 1, b.count(t, "SELECT count(*) FROM inbox_parked WHERE error LIKE "+
			"'%default_query_exec_mode=cache_describe%'"))
	})
}

func TestADeadLetterIsWrittenInTheTransactionThatParks(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		ob, err := outbox.New(b.Dialect)
		require.NoError(t, err)
		ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1), inbox.WithDeadLetter(ob, "orders.dead"))
		m := order("1", "k")
		m.Headers["_watermill_message_uuid"] = "not an event's own"
		require.Equal(t, inbox.Parked, b.process(t, ib, m, poison))
		require.Equal(t, inbox.Parked, b.process(t, ib, order("2", "k"), poison))
		var key, payload, headers string
		require.NoError(t, b.DB.QueryRowContext(t.Context(),
			"SELECT event_key, payload, headers FROM outbox_events "+
				"WHERE topic = 'orders.dead'").Scan(&key, &payload, &headers))
		require.Equal(t, "k", key)
		require.Equal(t, "p-1", payload)
		require.Contains(t, headers, "poison")
		require.Contains(t, headers, "trace")
	})
}

func TestConcurrentParkersAndReplayersKeepTheOrderOfAKey(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1))
		stop, stopped := make(chan struct{}), make(chan error, 1)
		go func() { // an operator who asks all the time, and a replayer
			ctx := context.WithoutCancel(t.Context())
			for {
				select {
				case <-stop:
					stopped <- nil
					return
				default:
				}
				if _, err := b.DB.ExecContext(ctx,
					"UPDATE inbox_parked SET state = 'retry' WHERE state = 'failed'"); err != nil {
					continue // another transaction's lock
				}
				if _, err := ib.Replay(ctx, b.DB, b.applying); err != nil {
					stopped <- err
					return
				}
			}
		}()
		const n = 40
		for i := range n {
			h := b.effect(fmt.Sprintf("%02d", i))
			if i%3 == 0 {
				h = poison
			}
			b.process(t, ib, order(fmt.Sprintf("%02d", i), "k"), h)
		}
		close(stop)
		require.NoError(t, <-stopped)
		for b.count(t, "SELECT count(*) FROM inbox_parked") > 0 {
			b.exec(t, "UPDATE inbox_parked SET state = 'retry' WHERE state = 'failed'")
			_, err := ib.Replay(t.Context(), b.DB, b.applying)
			require.NoError(t, err)
		}
		require.Equal(t, n, b.effects(t))
		require.Equal(t, n, b.count(t, "SELECT count(DISTINCT message_id) FROM effects"))
		b.clean(t)
	})
}
