package inboxkafka_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbtest"
)

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
				require.Less(t, strings.Index(text, fmt.Sprintf("p%d-a", p)), strings.Index(text, fmt.Sprintf("p%d-b", p)))
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

// Hazard 25: a member that was paused past its session, and whose group expired, wakes up
// in the middle of its transaction. Kafka's generation would not stop it; the database's epoch does.
func TestHazard25AZombieIsFenced(t *testing.T) {
	w := newWorld(t, dbtest.PostgreSQL(t), 1)
	w.produce(t, 0, "a")
	cfg := w.config(t, inboxkafka.OffsetsInDatabase)
	cfg.ExactlyOnceTopics = cfg.Topics // the epoch alone must do it
	zombieIn, wake := make(chan struct{}, 10), make(chan struct{})
	zombie := consume(t, cfg, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		zombieIn <- struct{}{}
		<-wake
		return w.effect(ctx, tx, m)
	})
	<-zombieIn
	// A group of its own is a group that has begun anew: generation 1, and no offset.
	cfg = w.config(t, inboxkafka.OffsetsInDatabase)
	cfg.ExactlyOnceTopics = cfg.Topics
	cfg.Group += "-expired"
	next := consume(t, cfg, w.effect)
	// The zombie has the offset's row if it moved it before its handler; then the new
	// member waits for it. Either way one of them applies a.
	require.Never(t, func() bool { return w.count(t, "SELECT count(*) FROM effects") > 1 }, 300*time.Millisecond, 50*time.Millisecond)
	close(wake)
	w.produce(t, 0, "b")
	require.Equal(t, []string{"a", "b"}, w.awaitEffects(t, 2))
	next.end(t)
	zombie.end(t)
	require.Equal(t, []string{"a", "b"}, w.effects(t))
}

// A partition that stands still is paused; the other goes on, and memory is bounded.
func TestASlowPartitionIsPausedAndTheOtherFlows(t *testing.T) {
	w := newWorld(t, dbtest.PostgreSQL(t), 2)
	w.produce(t, 0, ids("slow", 300)...)
	w.produce(t, 1, ids("fast", 300)...)
	cfg := w.config(t, inboxkafka.Batch)
	cfg.MaxBatch, cfg.Buffer = 10, 20
	slow := make(chan struct{})
	var once sync.Once
	release := func() { once.Do(func() { close(slow) }) }
	defer release()
	r := consume(t, cfg, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		if m.Position.Partition == 0 {
			<-slow
		}
		return w.effect(ctx, tx, m)
	})
	w.awaitEffects(t, 300)
	require.Equal(t, 300, w.count(t, "SELECT count(*) FROM effects WHERE message_id LIKE 'fast%'"))
	release()
	w.awaitEffects(t, 600)
	w.produce(t, 0, "resumed")
	w.awaitEffects(t, 601)
	r.end(t)
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
