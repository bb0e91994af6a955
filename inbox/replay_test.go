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

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/faultdb"
)

// stuck is a key k with three parked messages, of which the first is to be retried.
func (b bench) stuck(t *testing.T, ib *inbox.Inbox) {
	t.Helper()
	for n, id := range []string{"1", "2", "3"} {
		require.Equal(t, inbox.Parked, b.process(t, ib, order(id, "k"), poison), n)
	}
	b.ask(t, "1", "retry")
}

// replayed runs Replay until it has nothing to do, and says how much it did.
func (b bench) replayed(t *testing.T, ib *inbox.Inbox) (done int) {
	t.Helper()
	for {
		n, err := ib.Replay(t.Context(), b.DB, b.applying)
		require.NoError(t, err)
		if n == 0 {
			return done
		}
		done += n
	}
}

// Hazard interrupted-replay.
// Whoever replays a key ends between two of its messages: the next one looks for what was asked for, and
// must come to the rest.
func TestAReplayThatEndsBetweenTwoMessagesIsGoneOnWith(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		for _, end := range []struct {
			name, asked, line string
			do                func(cancel context.CancelFunc)
		}{
			{"stopped after a message", "retry", "inbox: a parked message is applied",
				func(cancel context.CancelFunc) { cancel() }},
			{"killed after a message", "retry", "inbox: a parked message is applied",
				func(context.CancelFunc) { runtime.Goexit() }},
			{
				"stopped after one was dropped", "drop", "inbox: dropped a parked message, as requested",
				func(cancel context.CancelFunc) { cancel() },
			},
		} {
			ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
			defer cancel()
			ib := b.inbox(t, end.name, inbox.WithMaxAttempts(1),
				inbox.WithLogger(slog.New(onLog{end.line, func() { end.do(cancel) }})))
			b.stuck(t, ib)
			b.ask(t, "1", end.asked)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _ = ib.Replay(ctx, b.DB, b.applying)
			}()
			<-ended
			ib = b.inbox(t, end.name, inbox.WithMaxAttempts(1))
			require.Equal(t, 2, b.replayed(t, ib), end.name)
			b.clean(t)
			require.Equal(t, inbox.Applied, b.process(t, ib, order("4", "k"), b.effect("4")), end.name)
		}
	})
}

// Hazard lost-inbox-answer.
// A connection lost anywhere loses neither a message nor what the operator asked for, and is not blamed on the message.
func TestAConnectionLostAtAnyPointOfAReplayLosesNothing(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		for _, at := range []string{faultdb.Begin, "inbox_blocked", "inbox_parked", "effects", faultdb.Commit} {
			for _, fault := range []faultdb.Fault{faultdb.LoseRequest(), faultdb.LoseAnswer()} {
				for nth := 1; nth <= 9; nth += 2 {
					name := fmt.Sprint(at, nth, fault)
					b.exec(t, "DELETE FROM effects")
					ib := b.inbox(t, name, inbox.WithMaxAttempts(1))
					b.stuck(t, ib)
					_, err := ib.Replay(t.Context(), b.faulty(t, faultAt(at, nth, fault)), b.applying)
					require.Zero(t,
						b.count(t, "SELECT count(*) FROM inbox_parked "+
							"WHERE state = 'failed' OR attempts > 1 OR state = 'blocked' "+
							"AND attempts > 0"), "%s: %v", name, err)
					b.replayed(t, ib)
					require.Equal(t, 3, b.effects(t), name)
					b.clean(t)
				}
			}
		}
	})
}

// Hazard interrupted-replay.
// The handler has the connection cut under it, and then the database is away.
func TestAnOutageDuringAReplayIsNotTheMessagesFault(t *testing.T) {
	b := onSQLite(t)
	ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1))
	b.stuck(t, ib)
	away := 0
	db := b.faulty(t, func(statement string) faultdb.Fault {
		if strings.Contains(statement, "effects") || away > 0 && away < 20 {
			away++
			return faultdb.LoseRequest()
		}
		return faultdb.Fault{}
	})
	_, err := ib.Replay(t.Context(), db, b.applying)
	require.ErrorContains(t, err, "unexpected EOF")
	require.Equal(t, 20, away, "it waits until what was asked for is written down again")
	state, attempts := b.state(t, "1")
	require.Equal(t, "retry", state)
	require.Equal(t, 1, attempts)

	// But one that breaks the connection every time has failed.
	away = 100
	_, err = ib.Replay(t.Context(), db, b.applying)
	require.NoError(t, err)
	require.Equal(t, 100+inbox.MaxLosses, away)
	state, attempts = b.state(t, "1")
	require.Equal(t, "failed", state)
	require.Equal(t, 2, attempts)
	require.Equal(t, 1,
		b.count(t, "SELECT count(*) FROM inbox_parked WHERE message_id = '1' AND error LIKE '%connection "+
			"was lost 2 times in a row%'"))
}

// A network error of the handler's own is one, also in a replay.
func TestAHandlersOwnErrorFailsAReplay(t *testing.T) {
	b := onSQLite(t)
	ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1))
	b.stuck(t, ib)
	n, err := ib.Replay(t.Context(), b.DB, func(
		context.Context, *sql.Tx, inbox.Message) error {
		return errors.New("unexpected EOF")
	})
	require.NoError(t, err)
	require.Zero(t, n)
	state, _ := b.state(t, "1")
	require.Equal(t, "failed", state)
}

// A head that nobody asked for is not run because a later row of its key was, and that one waits
// behind it instead of being looked at every second.
func TestAFailedHeadIsRunOnlyIfItIsAskedFor(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1))
		b.stuck(t, ib)
		b.ask(t, "1", "failed")
		b.ask(t, "2", "retry")
		n, err := ib.Replay(t.Context(), b.DB, b.applying)
		require.NoError(t, err)
		require.Zero(t, n)
		require.Zero(t, b.effects(t))
		for id, want := range map[string]string{"1": "failed", "2": "blocked", "3": "blocked"} {
			state, attempts := b.state(t, id)
			require.Equal(t, want, state, id)
			require.Equal(t, map[bool]int{true: 1}[id == "1"], attempts, id)
		}

		// Both are asked for, and the first fails again.
		b.exec(t, "UPDATE inbox_parked SET state = 'retry' WHERE message_id IN ('1', '2')")
		for range 2 {
			n, err = ib.Replay(t.Context(), b.DB,
				func(context.Context, *sql.Tx, inbox.Message) error { return errPoison })
			require.NoError(t, err)
			require.Zero(t, n)
		}
		state, attempts := b.state(t, "1")
		require.Equal(t, "failed", state)
		require.Equal(t, 2, attempts)
		state, _ = b.state(t, "2")
		require.Equal(t, "blocked", state)
		b.ask(t, "1", "retry")
		require.Equal(t, 3, b.replayed(t, ib))
		b.clean(t)
	})
}

// Where keys do not stand still, nothing waits.
func TestASkippedMessageIsRetriedAlone(t *testing.T) {
	b := onSQLite(t)
	ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1), inbox.WithOnFailure(inbox.Skip))
	b.process(t, ib, order("1", "k"), poison)
	b.process(t, ib, order("2", "k"), poison)
	b.ask(t, "2", "retry")
	require.Equal(t, 1, b.replayed(t, ib))
	state, _ := b.state(t, "1")
	require.Equal(t, "failed", state)
}
