package inboxkafka_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbtest"
)

// Hazard expired-group.
// A group that expires while its consumer is down begins at the start of the log, if the database was written by an
// older build and remembers nothing of it. What the inbox has pruned would be applied again.
func TestAGroupWithoutAnOffsetDoesNotBeginBeforeWhatIsKnown(t *testing.T) {
	for name, group := range map[string]func(t *testing.T, w world, cfg *inboxkafka.Config){
		"it has expired": func(t *testing.T, w world, cfg *inboxkafka.Config) {
			_, err := kadm.NewClient(w.producer).DeleteGroup(t.Context(), cfg.Group)
			require.NoError(t, err)
		},
		"it has another name": func(_ *testing.T, _ world, cfg *inboxkafka.Config) {
			cfg.FormerGroup, cfg.Group = cfg.Group, cfg.Group+"-renamed"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dbtest.PostgreSQL(t), 1)
			w.produce(t, 0, ids("a", 5)...)
			cfg := w.config(t, inboxkafka.Batch)
			r := consume(t, cfg, w.effect)
			w.awaitEffects(t, 5)
			r.end(t)
			w.exec(t, "DELETE FROM inbox_offsets")
			group(t, w, &cfg)

			// Nothing was pruned: the copies are known.
			r = consume(t, cfg, w.effect)
			w.produce(t, 0, "b")
			require.Equal(t, append(ids("a", 5), "b"), w.awaitEffects(t, 6))
			r.end(t)

			_, err := kadm.NewClient(w.producer).DeleteGroup(t.Context(), cfg.Group)
			require.NoError(t, err)
			w.exec(t, "DELETE FROM inbox_offsets")
			w.exec(t, "DELETE FROM inbox_events WHERE kafka_offset < 3")
			r = consume(t, cfg, w.effect)
			err = r.wait(t)
			require.ErrorContains(t, err, "The ids below offset 3 were pruned")
			require.ErrorContains(t, err, cfg.Group)
			require.ErrorContains(t, err, "AdoptOffsets")
			require.Len(t, w.effects(t), 6)

			cfg.AdoptOffsets = true
			r = consume(t, cfg, w.effect)
			w.awaitEffects(t, 9)
			r.end(t)
		})
	}
}

// A log may begin with what is no message: then nothing was pruned.
func TestAGroupWithoutAnOffsetBeginsWhereNoMessageIsUnknown(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), 1)
	w.transact(t, kgo.TryAbort, "never", "never either")
	w.produce(t, 0, "a", "b")
	cfg := w.config(t, inboxkafka.Batch)
	r := consume(t, cfg, w.effect)
	w.awaitEffects(t, 2)
	r.end(t)
	w.exec(t, "DELETE FROM inbox_offsets") // as an older build left it
	cfg.Group += "-renamed"
	r = consume(t, cfg, w.effect)
	w.produce(t, 0, "c")
	require.Equal(t, []string{"a", "b", "c"}, w.awaitEffects(t, 3))
	r.end(t)
}

// A partition that is added to a topic begins at its start, with Latest too: the group has consumed the topic, and what
// came before the partition was seen is new to it.
func TestAPartitionThatIsAddedBeginsAtItsStart(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), 1)
	cfg := w.config(t, inboxkafka.Batch)
	cfg.StartOffset = inboxkafka.Latest
	w.produce(t, 0, "before")
	r := consume(t, cfg, w.effect)
	w.awaitCommitted(t, 1)
	r.end(t)
	added, err := kadm.NewClient(w.producer).CreatePartitions(t.Context(), 1, w.topic)
	require.NoError(t, err)
	require.NoError(t, added.Error())
	require.Eventually(t, func() bool {
		w.producer.ForceMetadataRefresh() // each time: the brokers may not have known the partition at the last one
		return w.producer.ProduceSync(t.Context(), w.record(1, "added")).FirstErr() == nil
	}, patience, 10*time.Millisecond)
	r = consume(t, cfg, w.effect)
	require.Equal(t, []string{"added"}, w.awaitEffects(t, 1))
	r.end(t)
}

// Hazard expired-group.
// Where a group begins is committed before it has handled anything: a member that is gone before its
// first commit leaves no doubt, and with Latest nothing that came meanwhile is passed over.
func TestAGroupBeginsWhereItsFirstMemberDid(t *testing.T) {
	eachMode(t, func(t *testing.T, db dbtest.Database, mode inboxkafka.Mode) {
		w := newWorld(t, db, 1)
		w.produce(t, 0, "before", "that")
		cfg := w.config(t, mode)
		cfg.StartOffset = inboxkafka.Latest
		r := consume(t, cfg, w.effect)
		w.awaitCommitted(t, 2)
		r.end(t)
		w.produce(t, 0, "meanwhile")
		r = consume(t, cfg, w.effect)
		require.Equal(t, []string{"meanwhile"}, w.awaitEffects(t, 1))
		r.end(t)
	})
}

// Hazard copy-at-new-offset.
// A member that was killed before Kafka knew of its last commit has left ids behind that count: to do
// without them needs a position of the database.
func TestIDsAreNotGivenUpBeforeTheDatabaseHasAPosition(t *testing.T) {
	w := newWorld(t, dbtest.PostgreSQL(t), 2)
	w.produce(t, 0, "a", "b", "c")
	w.produce(t, 1, "idle")
	r := consume(t, w.config(t, inboxkafka.Batch), w.effect)
	w.awaitEffects(t, 4)
	r.end(t)
	w.commit(t, 0, 1)
	without := w.config(t, inboxkafka.OffsetsInDatabase)
	without.ExactlyOnceTopics = without.Topics
	require.ErrorContains(t, consume(t, without, w.effect).wait(t),
		"first run offsets-in-database without ExactlyOnceTopics")

	var duplicates []string
	with := w.config(t, inboxkafka.OffsetsInDatabase)
	with.OnOutcome = func(m inbox.Message, o inbox.Outcome) {
		if o == inbox.Duplicate {
			duplicates = append(duplicates, m.ID)
		}
	}
	r = consume(t, with, w.effect)
	w.produce(t, 0, "d")
	w.awaitEffects(t, 5)
	r.end(t)
	require.Equal(t, []string{"b", "c"}, duplicates)
	require.Equal(t, 1, w.count(t, "SELECT count(*) FROM inbox_offsets WHERE kafka_partition = 1 AND next_offset = 1"),
		"nothing came there, and nothing is to come")
	r = consume(t, without, w.effect)
	w.produce(t, 0, "e")
	require.ElementsMatch(t, []string{"a", "b", "c", "idle", "d", "e"}, w.awaitEffects(t, 6))
	r.end(t)
}

// Hazard recreated-topic.
// The database says that all below its position is done. A log that was cut has others there: they are not taken for
// handled.
func TestAPositionBehindTheLogsEndIsRefused(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), 1)
	w.produce(t, 0, ids("old", 5)...)
	r := consume(t, w.config(t, inboxkafka.OffsetsInDatabase), w.effect)
	w.awaitEffects(t, 5)
	r.end(t)
	w.exec(t, "UPDATE inbox_offsets SET next_offset = 6")
	cfg := w.config(t, inboxkafka.OffsetsInDatabase)
	require.ErrorContains(t, consume(t, cfg, w.effect).wait(t), "ResetOffset")
	cfg.ResetOffset = inboxkafka.Earliest
	require.ErrorContains(t, consume(t, cfg, w.effect).wait(t), "DELETE FROM inbox_offsets WHERE consumer = 'billing'")
	require.Len(t, w.effects(t), 5)
}
