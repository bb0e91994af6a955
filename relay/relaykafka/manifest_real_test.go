package relaykafka_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/relay"
)

// setting reads one of the manifest topic's settings.
func (w *txWorld) setting(topic, name string) string {
	w.t.Helper()
	answers, err := w.admin.DescribeTopicConfigs(w.ctx(), topic)
	require.NoError(w.t, err)
	found, err := answers.On(topic, nil)
	require.NoError(w.t, err)
	for _, c := range found.Configs {
		if c.Key == name {
			return c.MaybeValue()
		}
	}
	require.FailNow(w.t, "no setting "+name)
	return ""
}

// set changes a setting, and returns when the broker uses it. The controller answers before the broker knows of it.
func (w *txWorld) set(topic, name, value string) {
	w.t.Helper()
	ctx := w.ctx()
	_, err := w.admin.AlterTopicConfigs(
		ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, topic,
	)
	require.NoError(w.t, err)
	for w.setting(topic, name) != value {
		require.NoError(w.t, ctx.Err(), "the broker does not use %s=%s", name, value)
	}
}

func (w *txWorld) logStart() int64 {
	w.t.Helper()
	starts, err := w.admin.ListStartOffsets(w.ctx(), w.manifest())
	require.NoError(w.t, err)
	start, ok := starts.Lookup(w.manifest(), 0)
	require.True(w.t, ok)
	require.NoError(w.t, start.Err)
	return start.Offset
}

type keptPosition struct {
	Cluster string `json:"cluster"`
	Topic   string `json:"topic"`
	Offset  int64  `json:"offset"`
	Aged    int64  `json:"aged,omitempty"`
	Since   int64  `json:"since,omitempty"`
}

func positionOf(t testing.TB, text []byte) (p keptPosition) {
	t.Helper()
	require.NoError(t, json.Unmarshal(text, &p))
	return p
}

func (p keptPosition) text(t testing.TB) []byte {
	t.Helper()
	text, err := json.Marshal(p)
	require.NoError(t, err)
	return text
}

func TestAManifestTopicIsMadeToKeepManifestsForEver(t *testing.T) {
	w := realTx(t)
	w.open(nil)
	topics, err := w.admin.ListTopics(w.ctx(), w.manifest())
	require.NoError(t, err)
	require.Len(t, topics[w.manifest()].Partitions, 1)
	for name, want := range map[string]string{
		"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1",
		"min.insync.replicas": "1", "max.message.bytes": "1048588",
	} {
		require.Equal(t, want, w.setting(w.manifest(), name), name)
	}
}

// Hazard lost-manifest: with such settings manifests can be lost while rows that they name are still in the
// outbox. These rows would be sent again.
func TestAManifestTopicThatWouldLoseManifestsIsRefused(t *testing.T) {
	for _, c := range []struct{ name, value, mended string }{
		{"cleanup.policy", "compact", "delete"},
		{"cleanup.policy", "compact,delete", "delete"},
		{"retention.ms", "604800000", "-1"},
		{"retention.bytes", "1000000", "-1"},
		{"max.message.bytes", "100", "1048588"},
	} {
		t.Run(c.name+"="+c.value, func(t *testing.T) {
			w := realTx(t)
			w.open(nil).Close()
			w.set(w.manifest(), c.name, c.value)
			_, err := w.tryOpen(nil)
			require.ErrorIs(t, err, relay.ErrUnusable)
			for _, part := range []string{
				w.manifest(), c.name + "=" + c.value, "kafka-configs.sh", c.name + "=" + c.mended, w.brokers[0],
			} {
				require.ErrorContains(t, err, part)
			}
			w.set(w.manifest(), c.name, c.mended)
			w.open(nil)
		})
	}
}

func TestAManifestTopicWithTwoPartitionsIsRefused(t *testing.T) {
	w := realTx(t)
	_, err := w.admin.CreateTopic(w.ctx(), 2, 1, nil, w.manifest())
	require.NoError(t, err)
	_, err = w.tryOpen(nil)
	require.ErrorIs(t, err, relay.ErrUnusable)
	require.ErrorContains(t, err, w.manifest()+" has 2 partitions")
	require.ErrorContains(t, err, "kafka-topics.sh")
}

func TestForgetRemovesWhatIsBelowThePositionAndOldEnough(t *testing.T) {
	w := realTx(t)
	w.cfg.ManifestKeep = 1 // a nanosecond
	topic := w.topic(1)
	turn := w.open(nil)
	records := numbered(1, 30, 1, topic)
	for i := 0; i < 30; i += 10 {
		turn.commit(records[i : i+10]...)
	}
	position := turn.Confirm(2)
	require.NoError(t, forget(w, turn, position))
	require.Equal(t, positionOf(t, position).Offset, w.logStart())
	turn.Close()

	next := w.open(position) // exactly the start of the log
	require.Equal(t, sentOf(records[20:]...), next.sent())
	require.Equal(t, sentOf(records[20:]...), w.open(nil).sent(), "without a position: what is left")
}

func TestForgetKeepsManifestsForAWhile(t *testing.T) {
	w := realTx(t)
	turn := w.open(nil)
	records := numbered(1, 10, 1, w.topic(1))
	start := turn.Confirm(0)
	turn.commit(records...)
	require.NoError(t, forget(w, turn, turn.Confirm(1)))
	require.Zero(t, w.logStart())
	turn.Close()
	// A standby that lagged behind was promoted, so rows and position are back.
	require.Equal(t, sentOf(records...), w.open(start).sent())
}

// Hazard lagging-standby.
// Rows are deleted late, hours after their manifest was written, because they could not be deleted earlier. A
// standby that lags may not have the delete yet, so the manifest stays. A restart does not start the time
// again.
func TestAManifestIsKeptFromTheTimeThatItsRowsAreDeleted(t *testing.T) {
	w := realTx(t)
	topic := w.topic(1)
	turn := w.open(nil)
	turn.commit(numbered(1, 10, 1, topic)...)
	turn.commit(numbered(11, 10, 1, topic)...)
	first := turn.Confirm(1)
	require.NoError(t, forget(w, turn, first))
	aged := positionOf(t, turn.Confirm(2))
	require.Equal(t, positionOf(t, first).Offset, aged.Aged)
	turn.Close()
	require.Zero(t, w.logStart())

	turn = w.open(aged.text(t)) // before the hour has passed
	require.NoError(t, forget(w, turn, aged.text(t)))
	turn.Close()
	require.Zero(t, w.logStart())

	aged.Since = time.Now().Add(-61 * time.Minute).UnixMilli()
	turn = w.open(aged.text(t))
	require.NoError(t, turn.Forget(w.ctx(), aged.text(t)))
	require.Equal(t, aged.Aged, w.logStart())
}

// forget tells the session that a position is kept, and does so again after ManifestKeep.
func forget(w *txWorld, turn interface {
	Forget(context.Context, []byte) error
}, position []byte) error {
	if err := turn.Forget(w.ctx(), position); err != nil {
		return err
	}
	return turn.Forget(w.ctx(), position)
}

// Hazard lost-manifest.
func TestForgetTakesNoPositionOfAnotherLog(t *testing.T) {
	w := realTx(t)
	w.cfg.ManifestKeep = 1
	turn := w.open(nil)
	turn.commit(numbered(1, 10, 1, w.topic(1))...)
	other := positionOf(t, turn.Confirm(1))
	other.Topic = uuid.NewString()
	require.NoError(t, forget(w, turn, other.text(t)))
	require.Zero(t, w.logStart())
	require.Error(t, turn.Forget(w.ctx(), []byte("{")))
}

// Hazard lost-manifest: the position is used only if it can be right.
func TestAPositionOfAnotherTopicOrClusterOrBehindTheEndIsNotUsed(t *testing.T) {
	w := realTx(t)
	turn := w.open(nil)
	records := numbered(1, 10, 1, w.topic(1))
	turn.commit(records...)
	kept := positionOf(t, turn.Confirm(1))
	turn.Close()
	require.Empty(t, w.open(kept.text(t)).sent())

	cluster, topic, behind := kept, kept, kept
	cluster.Cluster = "another"
	topic.Topic = "AAAAAAAAAAAAAAAAAAAAAQ"
	behind.Offset += 1000
	for name, position := range map[string][]byte{
		"cluster": cluster.text(t), "topic": topic.text(t), "behind": behind.text(t), "garbage": []byte("garbage"),
	} {
		next := w.open(position)
		require.Equal(t, sentOf(records...), next.sent(), name)
		require.NotNil(t, next.Confirm(0), "the wrong one is replaced")
	}
}

// Hazard lost-manifest.
func TestAManifestTopicThatWasMadeAnewIsReadFromItsStart(t *testing.T) {
	w := realTx(t)
	topic := w.topic(1)
	turn := w.open(nil)
	turn.commit(numbered(1, 10, 1, topic)...)
	position := turn.Confirm(1)
	turn.Close()
	_, err := w.admin.DeleteTopic(w.ctx(), w.manifest())
	require.NoError(t, err)
	w.gone(w.manifest())

	turn = w.open(nil)
	records := numbered(11, 30, 1, topic)
	for i := 0; i < 30; i += 10 {
		turn.commit(records[i : i+10]...)
	}
	turn.Close()
	require.Equal(t, sentOf(records...), w.open(position).sent(), "the same offset, and another topic")
}

// gone waits until Kafka reports that a deleted topic does not exist.
func (w *txWorld) gone(topic string) {
	w.t.Helper()
	for {
		metadata, err := w.admin.Metadata(w.ctx(), topic)
		require.NoError(w.t, err)
		if metadata.Topics[topic].Err != nil {
			return
		}
		require.NoError(w.t, w.ctx().Err())
	}
}

// Hazard lost-manifest.
func TestManifestsThatAreGoneStopTheSource(t *testing.T) {
	w := realTx(t)
	w.cfg.ManifestKeep = 1
	turn := w.open(nil)
	old := turn.Confirm(0)
	turn.commit(numbered(1, 10, 1, w.topic(1))...)
	require.NoError(t, forget(w, turn, turn.Confirm(1)))
	turn.Close()
	_, err := w.tryOpen(old)
	require.ErrorIs(t, err, relay.ErrUnusable)
	require.ErrorContains(t, err, "the database is older than the manifests")
	require.ErrorContains(t, err, "relay source new-identity")
	require.ErrorContains(t, err, w.manifest())
}

func TestAManifestOverTheTopicsLimitIsSplitWithinItsTransaction(t *testing.T) {
	w := realTx(t)
	w.open(nil).Close()
	w.set(w.manifest(), "max.message.bytes", "2000")
	topic := w.topic(4)
	turn := w.open(nil)
	records := numbered(1, 3000, 7, topic)
	turn.commit(records[:2000]...)
	turn.commit(records[2000:]...)
	parts := committed(t, w.brokers, w.manifest())
	require.Greater(t, len(parts), 40)
	for _, part := range parts {
		require.Less(t, len(part.Value), 2000)
	}
	require.NotNil(t, turn.Confirm(1))
	position := turn.Confirm(2)
	turn.Close()
	require.Equal(t, sentOf(records...), w.open(nil).sent())
	require.Empty(t, w.open(position).sent(), "behind the last part")
}

func TestAManifestThatCannotBeReadNamesItself(t *testing.T) {
	w := realTx(t)
	turn := w.open(nil)
	turn.commit(numbered(1, 3, 1, w.topic(1))...)
	turn.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...))
	require.NoError(t, err)
	defer client.Close()
	written, err := client.ProduceSync(w.ctx(), &kgo.Record{Topic: w.manifest(), Value: []byte("mine")}).First()
	require.NoError(t, err)
	require.Positive(t, written.Offset)
	err = w.open(nil).Sent(w.ctx(), func([]relay.Sent) error { return nil })
	require.ErrorIs(t, err, relay.ErrUnusable)
	require.ErrorContains(t, err, w.manifest())
	require.ErrorContains(t, err, "offset 2 ")
	require.ErrorContains(t, err, "relay doctor")
}

func TestSentReturnsWhatItsVisitorReturns(t *testing.T) {
	w := realTx(t)
	turn := w.open(nil)
	topic := w.topic(1)
	turn.commit(record(1, topic, "k", nil))
	turn.commit(record(2, topic, "k", nil))
	turn.Close()
	enough, visits := errors.New("enough"), 0
	err := w.open(nil).Sent(w.ctx(), func([]relay.Sent) error { visits++; return enough })
	require.ErrorIs(t, err, enough)
	require.Equal(t, 1, visits)
}

// A foreign transaction in the manifest topic hides the manifests behind it. Sent must not return as if there
// were none.
func TestSentGivesUpRatherThanReturnShort(t *testing.T) {
	w := realTx(t)
	turn := w.open(nil)
	topic := w.topic(1)
	first, second := record(1, topic, "k", nil), record(2, topic, "k", nil)
	turn.commit(first)
	stranger, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.TransactionalID("stranger-"+uuid.NewString()))
	require.NoError(t, err)
	defer stranger.Close()
	require.NoError(t, stranger.BeginTransaction())
	require.NoError(
		t, stranger.ProduceSync(w.ctx(), &kgo.Record{Topic: w.manifest(), Value: []byte("mine")}).FirstErr(),
	)
	turn.commit(second)
	turn.Close()

	next := w.open(nil)
	short, cancel := context.WithTimeout(w.ctx(), 2*time.Second)
	defer cancel()
	var seen []relay.Sent
	err = next.Sent(short, func(rows []relay.Sent) error { seen = append(seen, rows...); return nil })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, w.manifest())
	require.NotErrorIs(t, err, relay.ErrUnusable)
	require.True(t, len(seen) < 2, "the second is behind the open transaction")
	require.NoError(t, stranger.EndTransaction(w.ctx(), kgo.TryAbort))
	require.Equal(t, slices.Concat(sentOf(first), sentOf(second)), next.sent())
}
