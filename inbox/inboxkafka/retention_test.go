package inboxkafka_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbtest"
)

// Hazard early-pruning.
// A row may go when the group will not read its message, nor a copy near it, again. The
// commits of this test lie far beyond the margin on one partition, and nowhere on another.
func TestRunPrunesWhatTheGroupWillNotReadAgain(t *testing.T) {
	w := newWorld(t, dbtest.PostgreSQL(t), 2)
	seen := func(partition int32, offset int64, id string) {
		_, err := w.DB.ExecContext(t.Context(), `
			INSERT INTO inbox_events (consumer, message_id, kafka_topic, kafka_partition, kafka_offset, processed_at)
			VALUES ('billing', $1, $2, $3, $4, now() - interval '10 days')`, id, w.topic, partition, offset)
		require.NoError(t, err)
	}
	w.commit(t, 0, inbox.DefaultMargin+10)
	seen(0, 9, "far below")
	seen(0, 10, "within the margin")
	seen(1, 9, "the group has committed nothing here")
	_, err := w.DB.ExecContext(t.Context(), "INSERT INTO inbox_events (consumer, message_id, processed_at) VALUES "+
		"('other', 'of another consumer', now() - interval '10 days')")
	require.NoError(t, err)

	cfg := w.config(t, inboxkafka.Batch)
	cfg.ResetOffset = inboxkafka.Earliest
	cfg.Retention = 7 * 24 * time.Hour
	rounds := make(chan inbox.Pruned, 16)
	cfg.OnPruned = func(p inbox.Pruned) { rounds <- p }
	r := consume(t, cfg, w.effect)
	round := <-rounds
	r.end(t)
	require.NoError(t, round.Err)
	require.EqualValues(t, 1, round.Deleted)
	require.Greater(t, round.Window, 9*24*time.Hour)
	require.Zero(t, w.count(t, "SELECT count(*) FROM inbox_events WHERE message_id = 'far below'"))
	require.Equal(t, 3, w.count(t, "SELECT count(*) FROM inbox_events"))

	cfg.Margin = -1 // none
	r = consume(t, cfg, w.effect)
	round = <-rounds
	r.end(t)
	require.NoError(t, round.Err)
	require.EqualValues(t, 1, round.Deleted)
	require.Zero(t, w.count(t, "SELECT count(*) FROM inbox_events WHERE message_id = 'within the margin'"))
}

// commit commits an offset in the group's name, as an earlier run would have.
func (w world) commit(t *testing.T, partition int32, offset int64) {
	t.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset(w.topic, partition, offset, -1)
	require.NoError(t, kadm.NewClient(w.producer).CommitAllOffsets(t.Context(), w.topic, offsets))
}

func TestCommittedReadsTheGroupsOffset(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), 2)
	w.commit(t, 1, 42)
	committed := inboxkafka.Committed(w.producer, w.topic)
	for partition, want := range []int64{-1, 42, -1} {
		at, err := committed(t.Context(), w.topic, int32(partition))
		require.NoError(t, err)
		require.Equal(t, want, at, "partition %d", partition)
	}
	at, err := committed(t.Context(), w.topic+"-is-no-topic", 0)
	require.NoError(t, err)
	require.EqualValues(t, -1, at)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = committed(ctx, w.topic, 0)
	require.ErrorContains(t, err, w.topic)
}

// It is refused before anything is handled, in each mode.
func TestARetentionThatIsShorterThanTheRetriesIsRefused(t *testing.T) {
	for _, mode := range allModes {
		cfg := valid(t)
		cfg.Mode = mode
		ib, err := inbox.New(inbox.SQLite, "billing", inbox.WithMaxAttempts(10), inbox.WithBackoff(time.Minute,
			time.Hour))
		require.NoError(t, err)
		cfg.Inbox, cfg.Retention = ib, time.Hour
		_, err = inboxkafka.New(cfg)
		require.ErrorIs(t, err, inbox.ErrShortRetention, mode)
		require.ErrorContains(t, err, "10 attempts take up to", mode)

		// A message that an operator asks to retry is tried once more, up to ReplayEvery later.
		cfg = valid(t)
		cfg.Mode, cfg.Retention, cfg.ReplayEvery = mode, time.Hour, 2*time.Hour
		_, err = inboxkafka.New(cfg)
		require.ErrorIs(t, err, inbox.ErrShortRetention, mode)
		require.ErrorContains(t, err, "ReplayEvery", mode)
		cfg.ReplayEvery = -1 // another process does
		_, err = inboxkafka.New(cfg)
		require.NoError(t, err, mode)

		cfg.Retention = -time.Hour
		_, err = inboxkafka.New(cfg)
		require.ErrorContains(t, err, "Retention", mode)
	}
}
