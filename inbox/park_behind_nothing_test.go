package inbox_test

import (
	"context"
	"database/sql"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/faultdb"
)

// eachIsolation is each, and PostgreSQL whose transactions are stricter by default.
func eachIsolation(t *testing.T, fn func(t *testing.T, b bench)) {
	t.Helper()
	each(t, fn)
	for _, level := range []string{"repeatable read", "serializable"} {
		t.Run("postgresql15 with "+level, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, dbtest.Migrate(t, dbtest.PostgreSQL(t)))
			// dbtest's own connections set what they need.
			db, err := sql.Open("pgx", b.URL+"&default_transaction_isolation="+url.PathEscape(level))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			b.DB = db
			var is string
			require.NoError(t, b.DB.QueryRowContext(t.Context(), "SHOW transaction_isolation").Scan(&is))
			require.Equal(t, level, is)
			fn(t, b)
		})
	}
}

// waiting starts a Replay of all that is asked for, and returns when it is in the handler; it goes on when proceed is
// closed.
func (b bench) waiting(t *testing.T, ib *inbox.Inbox) (proceed chan<- struct{}, replayed <-chan error) {
	t.Helper()
	in, goOn, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := ib.Replay(context.WithoutCancel(t.Context()), b.DB,
			func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
				close(in)
				<-goOn
				return b.applying(ctx, tx, m)
			})
		done <- err
	}()
	<-in
	return goOn, done
}

// Hazard park-behind-nothing: a parker reads that the key stands still; before it parks, the
// last parked message is replayed, and the key goes on. It must then run its message, for
// nothing would ever do so.
func TestHazardAParkerThatFindsTheKeyFreeRunsTheMessage(t *testing.T) {
	eachIsolation(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1))
		require.Equal(t, inbox.Parked, b.process(t, ib, order("1", "k"), poison))
		b.ask(t, "1", "retry")
		proceed, replayed := b.waiting(t, ib)
		parked := make(chan inbox.Outcome, 1)
		go func() {
			outcome, err := ib.Process(context.WithoutCancel(t.Context()), b.DB, order("2", "k"), b.effect("2"))
			if err != nil {
				outcome = inbox.Failed
			}
			parked <- outcome
		}()
		b.untilWaiting(t)
		close(proceed)
		require.NoError(t, <-replayed)
		require.Equal(t, inbox.Applied, <-parked)
		require.Equal(t, 2, b.effects(t))
		b.clean(t)
	})
}

// Hazard park-behind-nothing.
// The same of a batch.
func TestHazardABatchThatFindsTheKeyFreeRunsTheMessage(t *testing.T) {
	eachIsolation(t, func(t *testing.T, b bench) {
		ib, calls := b.inbox(t, "billing", inbox.WithMaxAttempts(1)), 0
		require.Equal(t, inbox.Parked, b.process(t, ib, order("1", "k"), poison))
		b.ask(t, "1", "retry")
		proceed, replayed := b.waiting(t, ib)
		batched := make(chan []inbox.Outcome, 1)
		go func() {
			outcomes, err := ib.ProcessBatch(context.WithoutCancel(t.Context()), b.DB,
				[]inbox.Message{order("2", "k"), order("3", "other")}, b.applyAll(&calls))
			if err != nil {
				outcomes = nil
			}
			batched <- outcomes
		}()
		b.untilWaiting(t)
		close(proceed)
		require.NoError(t, <-replayed)
		require.Equal(t, []inbox.Outcome{inbox.Applied, inbox.Applied}, <-batched)
		require.Equal(t, 3, b.effects(t))
		b.clean(t)
	})
}

// Hazard park-behind-nothing.
// And the other way round: a message is parked behind the last one of the key and not committed yet, when that one
// is replayed. The replay must wait, and see it: else the key goes on, and the message stays for ever.
func TestHazardAReplaySeesWhatWasParkedBehindIt(t *testing.T) {
	eachIsolation(t, func(t *testing.T, b bench) {
		if b.Dialect == inbox.SQLite {
			t.Log("SQLite has one writer at a time")
			return
		}
		ib := b.inbox(t, "billing", inbox.WithMaxAttempts(1))
		require.Equal(t, inbox.Parked, b.process(t, ib, order("1", "k"), poison))
		b.ask(t, "1", "retry")
		parking, commit, parked := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		park := func() {
			db := b.faulty(t, func(statement string) faultdb.Fault {
				if statement == faultdb.Commit {
					close(parking)
					<-commit
				}
				return faultdb.Fault{}
			})
			outcome, err := ib.Process(context.WithoutCancel(t.Context()), db, order("2", "k"), b.effect("2"))
			if outcome != inbox.Parked && err == nil {
				t.Errorf("2 is %s", outcome)
			}
			parked <- err
		}
		begun := 0
		db := b.faulty(t, func(statement string) faultdb.Fault {
			if statement == faultdb.Begin {
				if begun++; begun == 2 { // the first claims the row, and this one is to apply it
					go park()
					<-parking
				}
			}
			return faultdb.Fault{}
		})
		replayed := make(chan error, 1)
		go func() {
			_, err := ib.Replay(context.WithoutCancel(t.Context()), db, b.applying)
			replayed <- err
		}()
		<-parking
		b.untilWaiting(t)
		close(commit)
		require.NoError(t, <-parked)
		require.NoError(t, <-replayed)
		require.Equal(t, 2, b.effects(t)+b.count(t, "SELECT count(*) FROM inbox_parked WHERE state = 'retry'"),
			"applied as well, or to be")
		b.replayed(t, ib)
		require.Equal(t, 2, b.effects(t))
		b.clean(t)
	})
}
