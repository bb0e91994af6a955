package inboxkafka_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/migrations"
)

// eachMode runs fn in each mode on SQLite.
func eachMode(t *testing.T, fn func(t *testing.T, db dbtest.Database, mode inboxkafka.Mode)) {
	t.Helper()
	for _, mode := range allModes {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			fn(t, dbtest.SQLite(t), mode)
		})
	}
}

// Hazard ended-transaction.
// A handler that ends its transaction ends Run, with the reason, at the first message. Whichever way
// it did, the message takes effect once when the handler is mended.
func TestAHandlerThatEndsTheTransactionEndsRun(t *testing.T) {
	for how, end := range map[string]func(*sql.Tx) error{
		"by Commit":               (*sql.Tx).Commit,
		"by Rollback":             (*sql.Tx).Rollback,
		"by Commit and an error":  func(tx *sql.Tx) error { return errors.Join(tx.Commit(), errors.New("and this")) },
		"by Rollback, as a panic": func(tx *sql.Tx) error { panic(tx.Rollback()) },
	} {
		t.Run(how, func(t *testing.T) {
			eachMode(t, func(t *testing.T, db dbtest.Database, mode inboxkafka.Mode) {
				w := newWorld(t, db, 1)
				w.produce(t, 0, "a", "b", "c")
				runs := 0
				err := consume(t, w.config(t, mode), func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
					runs++
					if err := w.effect(ctx, tx, m); err != nil {
						return err
					}
					return end(tx)
				}).wait(t)
				require.ErrorIs(t, err, inbox.ErrHandlerEndedTx)
				require.ErrorContains(t, err, "remove its Commit or Rollback")
				require.ErrorContains(t, err, w.topic)
				require.Equal(t, 1, runs, "before it has a batch whose ids it could commit")
				require.LessOrEqual(t, w.committed(t), int64(0), "the group was told nothing of it")
				require.Empty(t, w.relayParkedList(t))

				r := consume(t, w.config(t, mode), w.effect)
				require.ElementsMatch(t, []string{"a", "b", "c"}, w.awaitEffects(t, 3))
				r.end(t)
				require.Len(t, w.effects(t), 3)
			})
		})
	}
}

// migrateOther makes Postroom's tables a second time, with a prefix.
func (w world) migrateOther(t *testing.T) {
	t.Helper()
	_, err := migrations.Apply(t.Context(), w.DB, w.Dialect, migrations.Options{Prefix: "other_"})
	require.NoError(t, err)
}

func TestOneConsumerNameHasOneSetOfTables(t *testing.T) {
	eachMode(t, func(t *testing.T, db dbtest.Database, mode inboxkafka.Mode) {
		w := newWorld(t, db, 1)
		w.migrateOther(t)
		w.produce(t, 0, "a")
		named := func(prefix, group string) inboxkafka.Config {
			ib, err := inbox.New(w.Dialect, "of "+w.topic, inbox.WithTablePrefix(prefix), inbox.WithLogger(quiet()))
			require.NoError(t, err)
			cfg := w.config(t, mode)
			cfg.Inbox, cfg.Group = ib, group
			return cfg
		}
		r := consume(t, named("", w.topic), w.effect)
		w.awaitEffects(t, 1)
		// In a group of its own it would do all of it a second time.
		err := consume(t, named("other_", w.topic+"-other"), w.effect).wait(t)
		require.ErrorContains(t, err, "other_inbox_events")
		require.ErrorContains(t, err, "two handlers need two names")
		r.end(t)
		require.Len(t, w.effects(t), 1)
		// The name is free again.
		err = consume(t, named("other_", w.topic), w.effect).wait(t)
		require.ErrorContains(t, err, "two inboxes must not share a group")
	})
}

// Hazard two-groups.
// Two processes do not know of each other but by the group: half of the messages would be done
// by the one inbox, and half by the other.
func TestOneGroupHasOneInboxInAllProcesses(t *testing.T) {
	const refusal = "two inboxes must not share a group"
	t.Run("that joins later", func(t *testing.T) {
		eachMode(t, func(t *testing.T, db dbtest.Database, mode inboxkafka.Mode) {
			w := newWorld(t, db, 2)
			w.migrateOther(t)
			w.produce(t, 0, "a") // of the other partition nothing was committed ever
			r := consume(t, w.config(t, mode), w.effect)
			w.awaitEffects(t, 1)
			w.awaitCommitted(t, 1)
			p := w.startMember(t, mode, memberPrefix+"=other_")
			p.says(t, "run ended:")
			out := p.ends(t)
			require.Contains(t, out, refusal)
			require.Contains(t, out, "other_inbox_events")
			w.produce(t, 0, "b")
			w.produce(t, 1, "c")
			require.Equal(t, "a", w.awaitEffects(t, 3)[0])
			r.end(t)
			require.Zero(t, w.count(t, "SELECT count(*) FROM other_inbox_events"))
		})
	})
	t.Run("that joins before anything was committed", func(t *testing.T) {
		eachMode(t, func(t *testing.T, db dbtest.Database, mode inboxkafka.Mode) {
			w := newWorld(t, db, 2)
			w.migrateOther(t)
			r := consume(t, w.config(t, mode), w.effect)
			p := w.startMember(t, mode, memberPrefix+"=other_")
			p.says(t, "inboxkafka: assigned")
			w.produce(t, 0, "a")
			w.produce(t, 1, "b") // which nobody may handle: each may find the other's mark first
			select {
			case <-p.done:
				require.Contains(t, p.output(), refusal)
			case err := <-r.done:
				require.ErrorContains(t, err, refusal)
				r.done <- err
			case <-time.After(patience):
				require.FailNow(t, "both go on", p.output())
			}
			p.ends(t)
			r.stop()
			_ = r.wait(t)
		})
	})
}
