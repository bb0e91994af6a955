package inboxkafka_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbtest"
)

// What ends after Run was asked to end is committed to the group: the committer beside it has
// ended by then.
func TestTheLastCommitIsMadeAtTheEnd(t *testing.T) {
	eachMode(t, func(t *testing.T, db dbtest.Database, mode inboxkafka.Mode) {
		w := newWorld(t, db, 1)
		w.produce(t, 0, "a", "b")
		begun, goOn := make(chan struct{}), make(chan struct{})
		r := consume(t, w.config(t, mode), func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
			if m.ID == "b" {
				close(begun)
				<-goOn
			}
			return w.effect(ctx, tx, m)
		})
		<-begun
		r.stop()
		close(goOn)
		require.NoError(t, r.wait(t))
		require.Equal(t, []string{"a", "b"}, w.effects(t))
		require.Equal(t, int64(2), w.committed(t))
	})
}

// Hazard rebalance-during-poll.
// The group knows how far a partition has come before the next member gets it. In this mode
// the committer tells it every few seconds only, and so is not what does it here.
func TestTheLastCommitOfAPartitionIsMadeBeforeItMoves(t *testing.T) {
	w := newWorld(t, dbtest.PostgreSQL(t), 2)
	cfg := w.config(t, inboxkafka.OffsetsInDatabase)
	log := newLog()
	cfg.Logger = log.logger()
	cfg.Options = append(cfg.Options, kgo.HeartbeatInterval(100*time.Millisecond))
	r := consume(t, cfg, w.effect)
	log.awaits(t, "inboxkafka: assigned", 2)
	w.produce(t, 0, "a0")
	w.awaitEffects(t, 1)
	w.awaitCommitted(t, 1)
	w.produce(t, 0, "b0")
	w.produce(t, 1, "a1", "b1")
	w.awaitEffects(t, 4)
	second := consume(t, w.config(t, inboxkafka.OffsetsInDatabase), w.effect)
	revoked := log.awaits(t, "inboxkafka: revoked", 1)
	offsets, err := kadm.NewClient(w.producer).FetchOffsets(t.Context(), w.topic)
	require.NoError(t, err)
	at, ok := offsets.Lookup(w.topic, int32(revoked.attrs["partition"].(int64)))
	require.True(t, ok, "nothing was committed")
	require.EqualValues(t, 2, at.At)
	require.EqualValues(t, 2, revoked.attrs["next_offset"])
	second.end(t)
	r.end(t)
}

// The database's position counts, also where the group has another one, or none: without
// ids everything that is read again is applied again.
func TestTheDatabasesPositionWinsOverTheGroups(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, w world, admin *kadm.Client){
		"the group is gone": func(t *testing.T, w world, admin *kadm.Client) {
			_, err := admin.DeleteGroup(t.Context(), w.topic)
			require.NoError(t, err)
		},
		"the group lags behind": func(t *testing.T, w world, _ *kadm.Client) { w.commit(t, 0, 1) },
		"the group is ahead":    func(t *testing.T, w world, _ *kadm.Client) { w.commit(t, 0, 4) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dbtest.SQLite(t), 1)
			w.produce(t, 0, "a", "b", "c")
			cfg := w.config(t, inboxkafka.OffsetsInDatabase)
			cfg.ExactlyOnceTopics = cfg.Topics
			r := consume(t, cfg, w.effect)
			w.awaitEffects(t, 3)
			r.end(t)
			require.Equal(t, 1, w.count(t, "SELECT count(*) FROM inbox_offsets WHERE next_offset = 3 AND epoch = 1"))
			w.produce(t, 0, "d", "e")
			change(t, w, kadm.NewClient(w.producer))
			cfg.OnOutcome = func(m inbox.Message, o inbox.Outcome) {
				if o != inbox.Applied {
					t.Errorf("%s was read again", m.ID)
				}
			}
			r = consume(t, cfg, w.effect)
			require.Equal(t, []string{"a", "b", "c", "d", "e"}, w.awaitEffects(t, 5))
			r.end(t)
			require.Equal(t, 1, w.count(t, "SELECT count(*) FROM inbox_offsets WHERE next_offset = 5 AND epoch = 2"))
		})
	}
}

// An operator's `relay inbox parked retry` is found by the consumer that runs, in each mode.
func TestARetryThatAnOperatorAsksForIsRunByTheConsumer(t *testing.T) {
	eachMode(t, func(t *testing.T, db dbtest.Database, mode inboxkafka.Mode) {
		w := newWorld(t, db, 1)
		w.produce(t, 0, "k:1", "k:2", "j:1")
		cfg := w.config(t, mode)
		cfg.Inbox = w.inbox(t, inbox.WithMaxAttempts(1))
		cfg.ReplayEvery = 20 * time.Millisecond
		mended := make(chan struct{})
		r := consume(t, cfg, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
			select {
			case <-mended:
			default:
				if m.ID == "k:1" {
					return fmt.Errorf("not yet")
				}
			}
			return w.effect(ctx, tx, m)
		})
		require.Equal(t, []string{"j:1"}, w.awaitEffects(t, 1))
		require.Eventually(t, func() bool { return len(w.relayParkedList(t)) == 2 }, patience, 20*time.Millisecond)
		close(mended)
		w.relay(t, "inbox", "parked", "retry", "--topic", w.topic, "--key", "k")
		require.Equal(t, []string{"j:1", "k:1", "k:2"}, w.awaitEffects(t, 3))
		require.Empty(t, w.relayParkedList(t))
		w.produce(t, 0, "k:3")
		require.Equal(t, "k:3", w.awaitEffects(t, 4)[3])
		r.end(t)
	})
}
