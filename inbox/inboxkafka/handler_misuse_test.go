package inboxkafka_test

import (
	"context"
	"database/sql"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbtest"
)

// counted is consume for a test that asks the consumer for its counts.
func counted(t *testing.T, cfg inboxkafka.Config, h inbox.Handler) (*inboxkafka.Consumer, running) {
	t.Helper()
	c, err := inboxkafka.New(cfg)
	require.NoError(t, err)
	return c, start(t, func(ctx context.Context) error { return c.Run(ctx, h) })
}

// A handler that ends its goroutine takes the partition's with it. The message has an attempt less, and the others
// flow.
func TestAHandlerThatEndsItsGoroutineIsAnAttempt(t *testing.T) {
	eachMode(t, func(t *testing.T, db dbtest.Database, mode inboxkafka.Mode) {
		w := newWorld(t, db, 1)
		w.produce(t, 0, "a", "b", "ends", "c", "d")
		log := newLog()
		cfg := w.config(t, mode)
		cfg.Logger = log.logger()
		c, r := counted(t, cfg, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
			if m.ID == "ends" {
				runtime.Goexit()
			}
			return w.effect(ctx, tx, m)
		})
		require.Equal(t, []string{"a", "b", "c", "d"}, w.awaitEffects(t, 4))
		r.end(t)
		require.Equal(t, 1, w.count(t, "SELECT count(*) FROM inbox_parked WHERE message_id = 'ends' AND state = "+
			"'failed'"))
		require.GreaterOrEqual(t, c.Counts().Goexits, int64(inbox.DefaultMaxAttempts))
		require.NotEmpty(t,
			log.having("inboxkafka: a handler ended its goroutine (runtime.Goexit), which counts as a failed "+
				"attempt: make it return an error"))
	})
}

func TestAHandlerThatEndsItsGoroutineForEverEndsRun(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), 1)
	w.produce(t, 0, "ends")
	cfg := w.config(t, inboxkafka.Batch)
	cfg.Inbox = w.inbox(t, inbox.WithOnFailure(inbox.Halt))
	err := consume(t, cfg, func(context.Context, *sql.Tx, inbox.Message) error {
		runtime.Goexit()
		return nil
	}).wait(t)
	require.ErrorContains(t, err, "ended its goroutine (runtime.Goexit) too often")
}

// A handler that does not return holds its partition, and nobody would know why.
func TestAHandlerThatIgnoresItsContextIsTold(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), 2)
	w.produce(t, 0, "a")
	w.produce(t, 1, "b")
	log := newLog()
	cfg := w.config(t, inboxkafka.PerMessage)
	cfg.Logger, cfg.Grace = log.logger(), 50*time.Millisecond
	begun, release := make(chan bool, 2), make(chan bool)
	c, r := counted(t, cfg, func(context.Context, *sql.Tx, inbox.Message) error {
		begun <- true
		<-release
		return nil
	})
	<-begun
	r.stop()
	line := log.awaits(t, "inboxkafka: a handler ignores the end of its context and holds a partition that must be "+
		"given up: make it return when ctx ends; until then the rebalance, or the end of Run, waits for it", 1)
	require.Equal(t, w.topic, line.attrs["topic"])
	require.Empty(t, r.done, "Run has not returned without its handler")
	close(release)
	require.NoError(t, r.wait(t))
	require.GreaterOrEqual(t, c.Counts().GraceExceeded, int64(1))
	log.awaits(t, "inboxkafka: the handler that ignored the end of its context has returned", 1)
}

// What the group refuses for good is no reason to try again.
func TestAGroupThatRefusesTheMemberEndsRun(t *testing.T) {
	t.Run("another strategy", func(t *testing.T) {
		w := newWorld(t, dbtest.SQLite(t), 1)
		other, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.ConsumerGroup(w.topic),
			kgo.ConsumeTopics(w.topic),
			kgo.Balancers(kgo.RoundRobinBalancer()))
		require.NoError(t, err)
		t.Cleanup(other.Close)
		w.produce(t, 0, "a")
		require.NoError(t, other.PollFetches(t.Context()).Err())
		err = consume(t, w.config(t, inboxkafka.Batch), w.effect).wait(t)
		require.ErrorIs(t, err, kerr.InconsistentGroupProtocol)
		require.ErrorContains(t, err, "kgo.Balancers")
	})
	t.Run("another process with the instance id", func(t *testing.T) {
		w := newWorld(t, dbtest.SQLite(t), 1)
		w.produce(t, 0, "a")
		cfg := w.config(t, inboxkafka.Batch)
		cfg.Options = append(cfg.Options, kgo.InstanceID("one"), kgo.HeartbeatInterval(100*time.Millisecond))
		first := consume(t, cfg, w.effect)
		w.awaitEffects(t, 1)
		second := consume(t, cfg, w.effect)
		err := first.wait(t)
		require.ErrorIs(t, err, kerr.FencedInstanceID)
		require.ErrorContains(t, err, "kgo.InstanceID")
		w.produce(t, 0, "b")
		w.awaitEffects(t, 2)
		second.end(t)
	})
}
