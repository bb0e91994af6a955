package inboxkafka_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbtest"
)

// The handler's table is missing: a few messages are parked, the others wait, and when the table is there they are
// applied, without those that are parked.
func TestAHandlerThatFailsForEverythingIsPaused(t *testing.T) {
	for flavor, open := range map[string]func(testing.TB) dbtest.Database{
		dbtest.FlavorPostgreSQL15: dbtest.PostgreSQL, dbtest.FlavorMariaDB: dbtest.MariaDB, "sqlite": dbtest.SQLite,
	} {
		t.Run(flavor, func(t *testing.T) {
			t.Parallel() // it waits for pauses
			for _, mode := range allModes {
				w := newWorld(t, open(t), 2)
				_, err := w.DB.ExecContext(t.Context(), "ALTER TABLE effects RENAME TO effects_later")
				require.NoError(t, err)
				const all = 400
				for i := range all {
					w.produce(t, int32(i%2), fmt.Sprintf("k%d:%03d", i%50, i))
				}
				log := newLog()
				cfg := inboxkafka.WithTrialPause(w.config(t, mode), 2*time.Second)
				cfg.Inbox = w.named(t, w.topic) // one name has one database in a process
				cfg.Logger = log.logger()
				r := consume(t, cfg, w.effect)
				log.awaits(t, "inboxkafka: the handler fails for nearly every message: the topic is paused, and one "+
					"message at a time is tried until one succeeds; parked messages stay parked: see `relay inbox "+
					"parked list`", 1)
				_, err = w.DB.ExecContext(t.Context(), "ALTER TABLE effects_later RENAME TO effects")
				require.NoError(t, err)
				log.awaits(t, "inboxkafka: the handler succeeds again, so the topic continues; retry parked messages "+
					"with `relay inbox parked retry`", 1)
				settled := func() bool {
					return w.count(t,
						"SELECT (SELECT count(*) FROM effects) + (SELECT count(*) FROM inbox_parked)") == all
				}
				require.Eventually(t, settled, patience, 20*time.Millisecond, mode)
				r.end(t)
				failed := w.count(t, "SELECT count(*) FROM inbox_parked WHERE state = 'failed'")
				require.GreaterOrEqual(t, failed, 5, mode)
				require.LessOrEqual(t, failed, 40, mode)
				behind := w.count(t, "SELECT count(*) FROM effects e WHERE EXISTS (SELECT 1 FROM inbox_parked p "+
					"WHERE p.event_key = e.event_key AND p.kafka_offset < e.kafka_offset)")
				require.Zero(t, behind, "a message was applied before an earlier one of its key")
			}
		})
	}
}

// The pause is over at the first message that succeeds, and bad ones in a row do not stop the consumer for good.
func TestManyBadMessagesInARowDoNotStopAConsumer(t *testing.T) {
	eachMode(t, func(t *testing.T, db dbtest.Database, mode inboxkafka.Mode) {
		w := newWorld(t, db, 1)
		w.produce(t, 0, ids("bad", 24)...)
		w.produce(t, 0, ids("good", 50)...)
		cfg := inboxkafka.WithTrialPause(w.config(t, mode), time.Millisecond)
		r := consume(t, cfg, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
			if m.ID[0] == 'b' {
				return errors.New("bad")
			}
			return w.effect(ctx, tx, m)
		})
		require.Equal(t, ids("good", 50), w.awaitEffects(t, 50))
		r.end(t)
		require.Equal(t, 24, w.count(t, "SELECT count(*) FROM inbox_parked WHERE state = 'failed'"))
	})
}

// The handler fails for all of one topic. Another one of the same consumer goes on, and so do messages that were
// handled before: they need no turn.
func TestAPausedTopicPausesNoOther(t *testing.T) {
	for _, mode := range allModes {
		w := newWorld(t, dbtest.SQLite(t), 1)
		healthy := w
		healthy.topic = dbtest.Topic(t, 1)
		w.produce(t, 0, ids("bad", 30)...)
		log := newLog()
		cfg := inboxkafka.WithTrialPause(w.config(t, mode), time.Hour)
		cfg.Logger, cfg.Topics = log.logger(), []string{w.topic, healthy.topic}
		r := consume(t, cfg, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
			if m.Topic == w.topic {
				return errors.New("bad")
			}
			return w.effect(ctx, tx, m)
		})
		log.awaits(t, "inboxkafka: the handler fails for nearly every message: the topic is paused, and one message "+
			"at a time is tried until one succeeds; parked messages stay parked: see `relay inbox parked list`", 1)
		healthy.produce(t, 0, ids("good", 50)...)
		require.Equal(t, ids("good", 50), w.awaitEffects(t, 50), mode)
		r.end(t)
	}
}

// One bad message, with any number behind it, is no reason to pause the other keys.
func TestABlockedKeyPausesNothing(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), 1)
	for i := range 100 {
		w.produce(t, 0, fmt.Sprintf("k:%03d", i))
	}
	log := newLog()
	cfg := w.config(t, inboxkafka.PerMessage)
	cfg.Logger = log.logger()
	var calls atomic.Int32
	r := consume(t, cfg, func(context.Context, *sql.Tx, inbox.Message) error {
		calls.Add(1)
		return errors.New("bad")
	})
	require.Eventually(t, func() bool { return w.count(t, "SELECT count(*) FROM inbox_parked") == 100 }, patience,
		10*time.Millisecond)
	r.end(t)
	require.EqualValues(t, inbox.DefaultMaxAttempts, calls.Load())
}
