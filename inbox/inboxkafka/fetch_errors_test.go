package inboxkafka_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbtest"
)

// Hazard recreated-topic.
// franz-go asks for a topic by the id that it had when it began, and a consumer would stand still.
func TestATopicThatIsMadeAnewUnderAConsumerEndsIt(t *testing.T) {
	eachMode(t, func(t *testing.T, db dbtest.Database, mode inboxkafka.Mode) {
		w := newWorld(t, db, 1)
		w.produce(t, 0, ids("old", 5)...)
		r := consume(t, inboxkafka.WithUnknownAfter(w.config(t, mode), 100*time.Millisecond), w.effect)
		w.awaitEffects(t, 5)
		w.recreate(t)
		w.produce(t, 0, ids("new", 5)...)
		require.ErrorContains(t, r.wait(t), "it was deleted or recreated")
		require.Len(t, w.effects(t), 5)
	})
}

// fakeWorld is a world on a broker in this process, which misbehaves when it is told to.
func fakeWorld(t *testing.T, opts ...kfake.Opt) (world, *kfake.Cluster) {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(1, "orders")},
		opts...)...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	w := world{Database: dbtest.Migrate(t, dbtest.SQLite(t)), topic: "orders", brokers: cluster.ListenAddrs()}
	w.makeEffects(t)
	w.producer, err = kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(w.producer.Close)
	return w, cluster
}

// Hazard recreated-topic.
// Brokers before 2.8 know topics by name alone: the log under a member is another all of a sudden,
// and its first messages have offsets that the database holds for done.
func TestALogThatIsCutUnderAMemberEndsIt(t *testing.T) {
	for name, once := range map[string]bool{"with ids": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			w, _ := fakeWorld(t, kfake.MaxVersions(kversion.V2_7_0()))
			w.produce(t, 0, ids("old", 20)...)
			cfg := w.config(t, inboxkafka.OffsetsInDatabase)
			cfg.ResetOffset = inboxkafka.Earliest
			if once {
				cfg.ExactlyOnceTopics = cfg.Topics
			}
			r := consume(t, cfg, w.effect)
			w.awaitEffects(t, 20)
			w.recreate(t)
			w.produce(t, 0, ids("new", 5)...)
			err := r.wait(t)
			require.ErrorContains(t, err, "the log was truncated: a message came at offset 0, but in the database "+
				"all messages below 20 are handled")
			require.ErrorContains(t, err, "UPDATE inbox_offsets SET next_offset = 0 WHERE consumer = 'billing' AND "+
				"kafka_topic = '"+w.topic+"' AND kafka_partition = 0")
			require.Len(t, w.effects(t), 20)
			require.Equal(t, 1, w.count(t, "SELECT count(*) FROM inbox_offsets WHERE next_offset = 20"))
		})
	}
}

// A commit may fail for one partition: it is told again, without anything new in it.
func TestAPartitionsCommitThatFailsIsMadeAgain(t *testing.T) {
	w, cluster := fakeWorld(t)
	cfg := w.config(t, inboxkafka.Batch)
	log := newLog()
	cfg.Logger = log.logger()
	r := consume(t, cfg, w.effect)
	w.produce(t, 0, "first")
	w.awaitEffects(t, 1)
	w.awaitCommitted(t, 1)
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.TopicAuthorizationFailed, Count: 3})
	w.produce(t, 0, "a", "b")
	w.awaitEffects(t, 3)
	log.awaits(t, "inboxkafka: offsets are committed again", 1)
	require.EqualValues(t, 3, w.committed(t))
	require.Len(t, log.having("inboxkafka: offsets could not be committed; the next commit includes them"), 1,
		"and not at each try")
	r.end(t)
}

// A member that took the hold late, and by the group has no partition, leaves nobody to read on.
func TestAPartitionThatIsLostInTheDatabaseAloneIsTakenBack(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), 1)
	w.produce(t, 0, "a")
	cfg := w.config(t, inboxkafka.OffsetsInDatabase)
	cfg.Grace = 200 * time.Millisecond
	r := consume(t, cfg, w.effect)
	w.awaitEffects(t, 1)
	_, err := cfg.Inbox.ClaimPartition(t.Context(), w.DB, w.topic, 0)
	require.NoError(t, err)
	w.produce(t, 0, "b")
	require.Equal(t, []string{"a", "b"}, w.awaitEffects(t, 2))
	r.end(t)
}

func TestOnlyMessagesThatCameToAnEndHaveAnOutcome(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), 1)
	w.produce(t, 0, ids("a", 10)...)
	cfg := w.config(t, inboxkafka.Batch)
	cfg.Grace = 10 * time.Millisecond
	outcomes := make(chan inbox.Outcome, 20)
	cfg.OnOutcome = func(_ inbox.Message, o inbox.Outcome) { outcomes <- o }
	begun := make(chan bool, 20)
	r := consume(t, cfg, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		if m.ID == "a000" {
			return w.effect(ctx, tx, m)
		}
		begun <- true
		<-ctx.Done()
		return ctx.Err()
	})
	<-begun
	r.end(t)
	require.Equal(t, inbox.Applied, <-outcomes)
	require.Empty(t, outcomes)
}

// A reason that a person has to see is not lost because Run was asked to end.
func TestAnErrorBesideRunsEndIsReturned(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), 1)
	w.produce(t, 0, "a")
	begun, goOn := make(chan bool, 3), make(chan bool)
	r := consume(t, w.config(t, inboxkafka.Batch), func(_ context.Context, tx *sql.Tx, _ inbox.Message) error {
		begun <- true
		<-goOn
		return tx.Commit()
	})
	<-begun
	r.stop()
	close(goOn)
	require.ErrorIs(t, r.wait(t), inbox.ErrHandlerEndedTx)
}
