package inboxkafka_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbtest"
)

// Hazard rebalance-during-poll.
// A second member joins while the first is in the middle of handlers: each of them
// finishes before its partition moves, and nothing is applied twice.
func TestARevokedPartitionFinishesItsHandlerFirst(t *testing.T) {
	for _, mode := range []inboxkafka.Mode{inboxkafka.Batch, inboxkafka.OffsetsInDatabase} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dbtest.PostgreSQL(t), 4)
			for p := range int32(4) {
				w.produce(t, p, fmt.Sprintf("p%d-a", p))
			}
			begun, goOn := make(chan string, 100), make(chan struct{})
			first := consume(t, w.config(t, mode), func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
				begun <- m.ID
				<-goOn
				return w.effect(ctx, tx, m)
			})
			for range 4 {
				<-begun
			}
			assigned := make(chan struct{}, 10)
			cfg := w.config(t, mode)
			cfg.Options = append(cfg.Options, kgo.WithHooks(joined{assigned}))
			second := consume(t, cfg, w.effect)
			<-assigned // the second is on its way in, and the first in its handlers
			for p := range int32(4) {
				w.produce(t, p, fmt.Sprintf("p%d-b", p))
			}
			close(goOn)
			got := w.awaitEffects(t, 8)
			first.end(t)
			second.end(t)
			require.Len(t, got, 8)
			for p := range 4 {
				text := strings.Join(got, " ")
				require.Less(t, strings.Index(text, fmt.Sprintf("p%d-a", p)), strings.Index(text, fmt.Sprintf("p%d-b",
					p)))
			}
		})
	}
}

// joined tells when a client has begun to join a group.
type joined struct{ seen chan struct{} }

func (j joined) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	const joinGroup = 11
	if key == joinGroup {
		select {
		case j.seen <- struct{}{}:
		default:
		}
	}
}

// A handler that does not come to its end is rolled back after Grace, and the partition's
// next owner handles the message.
func TestAHandlerThatHangsIsRolledBackAtTheEnd(t *testing.T) {
	w := newWorld(t, dbtest.PostgreSQL(t), 1)
	w.produce(t, 0, "a")
	cfg := w.config(t, inboxkafka.Batch)
	cfg.Grace = 50 * time.Millisecond
	begun := make(chan struct{}, 10)
	r := consume(t, cfg, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		if err := w.effect(ctx, tx, m); err != nil {
			return err
		}
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	<-begun
	r.end(t)
	require.Empty(t, w.effects(t))
	r = consume(t, w.config(t, inboxkafka.Batch), w.effect)
	require.Equal(t, []string{"a"}, w.awaitEffects(t, 1))
	r.end(t)
}

// Hazard group-restarts: a group that has begun anew, with generation 1 and without an offset,
// would not stop a member of the old one, which is in the middle of its transaction; the
// database's epoch does.
func TestHazardAZombieIsFenced(t *testing.T) {
	w := newWorld(t, dbtest.PostgreSQL(t), 1)
	w.produce(t, 0, "a")
	cfg := w.config(t, inboxkafka.OffsetsInDatabase)
	cfg.ExactlyOnceTopics = cfg.Topics // the epoch alone must do it
	log := newLog()
	cfg.Logger = log.logger()
	zombieIn, woken := make(chan struct{}, 10), make(chan struct{})
	wake := sync.OnceFunc(func() { close(woken) })
	defer wake()
	zombie := consume(t, cfg, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		zombieIn <- struct{}{}
		<-woken
		return w.effect(ctx, tx, m)
	})
	<-zombieIn
	cfg = w.config(t, inboxkafka.OffsetsInDatabase)
	cfg.ExactlyOnceTopics = cfg.Topics
	cfg.FormerGroup, cfg.Group = cfg.Group, cfg.Group+"-new"
	nextIn, going := make(chan struct{}, 10), make(chan struct{})
	goOn := sync.OnceFunc(func() { close(going) })
	defer goOn()
	next := consume(t, cfg, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		nextIn <- struct{}{}
		<-going
		return w.effect(ctx, tx, m)
	})
	<-nextIn // it has not moved the offset either, so that the epoch alone tells the two apart
	wake()
	log.awaits(t, "inboxkafka: another member has taken the partition", 1)
	require.Empty(t, w.effects(t))
	goOn()
	w.produce(t, 0, "b")
	w.awaitEffects(t, 2)
	next.end(t)
	zombie.end(t)
	require.Equal(t, []string{"a", "b"}, w.effects(t))
}

// Hazard group-restarts, as it happens: the process sleeps in the middle of its handler, and
// its group takes it for dead, expires and begins anew. When it wakes up, it goes on where it
// was.
func TestHazardAProcessThatSleptThroughItsGroupCommitsNothing(t *testing.T) {
	for flavor, open := range map[string]func(testing.TB) dbtest.Database{dbtest.FlavorPostgreSQL15: dbtest.PostgreSQL,
		dbtest.FlavorMariaDB: dbtest.MariaDB} {
		t.Run(flavor, func(t *testing.T) {
			w := newWorld(t, open(t), 1)
			w.produce(t, 0, "a")
			p := w.startMember(t, inboxkafka.OffsetsInDatabase, memberSleeper+"=yes")
			p.says(t, "asleep")
			admin := kadm.NewClient(w.producer)
			left, err := admin.LeaveGroup(t.Context(), kadm.LeaveGroup(w.topic).InstanceIDs(sleeper))
			require.NoError(t, err)
			require.NoError(t, left.Error())
			_, err = admin.DeleteGroup(t.Context(), w.topic)
			require.NoError(t, err)

			cfg := w.config(t, inboxkafka.OffsetsInDatabase)
			cfg.ExactlyOnceTopics = cfg.Topics
			nextIn, going := make(chan struct{}, 10), make(chan struct{})
			goOn := sync.OnceFunc(func() { close(going) })
			defer goOn()
			r := consume(t, cfg, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
				nextIn <- struct{}{}
				<-going
				return w.effect(ctx, tx, m)
			})
			<-nextIn
			p.signal(t, syscall.SIGCONT)
			// By the database, or by Kafka, which may tell it sooner.
			require.Eventually(t, func() bool {
				out := p.output()
				return strings.Contains(out, "another member has taken the partition") || strings.Contains(out,
					"inboxkafka: lost")
			}, patience, 10*time.Millisecond)
			require.Contains(t, p.ends(t), "run ended: <nil>")
			require.Empty(t, w.effects(t))
			goOn()
			w.produce(t, 0, "b")
			w.awaitEffects(t, 2)
			r.end(t)
			require.Equal(t, []string{"a", "b"}, w.effects(t))
		})
	}
}

func TestAConsumerRunsOnceAtATime(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), 1)
	w.produce(t, 0, "a")
	c, err := inboxkafka.New(w.config(t, inboxkafka.Batch))
	require.NoError(t, err)
	r := start(t, func(ctx context.Context) error { return c.Run(ctx, w.effect) })
	w.awaitEffects(t, 1)
	require.ErrorIs(t, c.Run(t.Context(), w.effect), inboxkafka.ErrRunning)
	r.end(t)
	require.ErrorContains(t, c.Run(t.Context(), nil), "handler is nil")
}
