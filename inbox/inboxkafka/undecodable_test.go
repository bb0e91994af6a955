package inboxkafka_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbtest"
)

func TestWhatCannotBeDecodedStopsRunIfAskedTo(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), 1)
	w.produce(t, 0, "a", "", "b")
	cfg := w.config(t, inboxkafka.Batch)
	cfg.OnUndecodable = inboxkafka.Halt
	err := consume(t, cfg, w.effect).wait(t)
	require.ErrorIs(t, err, inboxkafka.ErrNoID)
	require.ErrorContains(t, err, w.topic+"/0@1")
	require.Equal(t, []string{"a"}, w.effects(t), "what comes before it is done")
	require.Equal(t, int64(1), w.committed(t))
}

func TestWhatCannotBeDecodedIsParkedAndTheRestFlows(t *testing.T) {
	for _, mode := range []inboxkafka.Mode{inboxkafka.PerMessage, inboxkafka.Batch, inboxkafka.OffsetsInDatabase} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dbtest.SQLite(t), 1)
			w.produce(t, 0, "a", "", strings.Repeat("x", 300), "not\xffutf8", "panics", "b")
			cfg := w.config(t, mode)
			decode := inboxkafka.Decode
			cfg.Decode = func(r *kgo.Record) (m inbox.Message, err error) {
				if m, err = decode(r); m.ID == "panics" {
					panic("a decoder's mistake")
				}
				return m, err
			}
			r := consume(t, cfg, w.effect)
			require.Equal(t, []string{"a", "b"}, w.awaitEffects(t, 2))
			r.end(t)
			for offset, reason := range map[string]string{"@1": "no message id", "@2": "300 bytes", "@3": "UTF-8",
				"@4": "a decoder's mistake"} {
				var text string
				require.NoError(t, w.DB.QueryRowContext(t.Context(),
					"SELECT error FROM inbox_parked WHERE message_id = ?",
					w.topic+"/0"+offset).Scan(&text))
				require.Contains(t, text, reason)
			}
		})
	}
}

// A decoder that is not this topic's would have all of it parked.
func TestATopicOfWhichNothingCanBeDecodedEndsRun(t *testing.T) {
	eachMode(t, func(t *testing.T, db dbtest.Database, mode inboxkafka.Mode) {
		w := newWorld(t, db, 2)
		w.produce(t, 0, make([]string, 150)...)
		w.produce(t, 1, make([]string, 150)...)
		err := consume(t, w.config(t, mode), w.effect).wait(t)
		require.ErrorIs(t, err, inboxkafka.ErrNoID)
		require.ErrorContains(t, err, "none of the first 100 messages of topic")
		require.ErrorContains(t, err, "UndecodableLimit")
		require.LessOrEqual(t, w.count(t, "SELECT count(*) FROM inbox_parked"), 99)
	})
}

func TestAfterOneThatCanBeDecodedAllOthersAreParked(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t), 1)
	w.produce(t, 0, append([]string{"a"}, make([]string, 150)...)...)
	w.produce(t, 0, "b")
	r := consume(t, w.config(t, inboxkafka.Batch), w.effect)
	require.Equal(t, []string{"a", "b"}, w.awaitEffects(t, 2))
	r.end(t)
	require.Equal(t, 150, w.count(t, "SELECT count(*) FROM inbox_parked"))
}

// Hazard wrong-id-header.
// Five changes of one customer, whose producer has the customer's id in a header `id`: taken for the message's, the
// second to the fifth would be duplicates of the first.
func TestAHeaderIDThatIsNotTheMessagesDropsNothing(t *testing.T) {
	eachMode(t, func(t *testing.T, db dbtest.Database, mode inboxkafka.Mode) {
		w := newWorld(t, db, 1)
		for range 5 {
			r := w.record(0, "")
			r.Key, r.Headers = []byte("customer-42"), []kgo.RecordHeader{{Key: "id", Value: []byte("customer-42")}}
			require.NoError(t, w.producer.ProduceSync(t.Context(), r).FirstErr())
		}
		r := consume(t, w.config(t, mode), w.effect)
		parked := "SELECT count(*) FROM inbox_parked WHERE error LIKE '%DecodeDebezium%' OR state = 'blocked'"
		require.Eventually(t, func() bool { return w.count(t, parked) == 5 }, patience, 20*time.Millisecond)
		r.end(t)
		require.Empty(t, w.effects(t))
	})
}
