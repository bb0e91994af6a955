package conformance

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/cli"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/relay"
)

// What was delivered is archived with its place in a real Kafka; the command puts it back;
// it is delivered again under the same ids, and an inbox drops it; under new ids the
// inbox takes it once more. In both modes: a transaction's offsets have holes, and a
// manifest has named these events already (hazard replayed-event).
func TestWhatIsReplayedIsDeliveredAgainAndAppliedOnce(t *testing.T) {
	for _, server := range []func(testing.TB) dbtest.Database{dbtest.PostgreSQL, dbtest.MariaDB} {
		for _, mode := range []relay.Mode{relay.AtLeastOnce, relay.ExactlyOnce} {
			db := server(t)
			t.Run(db.Flavor+" "+string(mode), func(t *testing.T) { replayToInbox(t, db, mode) })
		}
	}
}

func replayToInbox(t *testing.T, db dbtest.Database, mode relay.Mode) {
	const events, keys = 60, 7
	w := newWorld(t, install(t, db, "", ""))
	_, err := migrations.Apply(t.Context(), db.DB, db.Dialect, migrations.Options{Only: migrations.InboxOnly})
	require.NoError(t, err)
	w.exec("CREATE TABLE applied (value varchar(64) NOT NULL)")
	topic := dbtest.Topic(t, 4)
	w.cfg.Archive, w.cfg.Mode = true, mode
	run := w.startTo(kafkaSink(t))
	for i := range events {
		w.commitEvents(outbox.Event{Topic: topic, Key: fmt.Sprint("k", i%keys), Payload: fmt.Append(nil, i)})
	}
	w.waitEmpty()

	first := readRecords(t, topic, events)
	require.Equal(t, places(first), w.archivedPlaces(topic))
	c := w.consumer()
	c.consume(first)
	require.EqualValues(t, events, w.number("SELECT COUNT(*) FROM applied"))

	w.relayCommand("replay", "--topic", topic)
	w.waitEmpty()
	again := readRecords(t, topic, 2*events)[events:]
	require.ElementsMatch(t, ids(first), ids(again), "the same events")
	requireKeyOrder(t, again)
	c.consume(again)
	require.EqualValues(t, events, w.number("SELECT COUNT(*) FROM applied"), "the inbox drops what it has applied")

	w.relayCommand("replay", "--topic", topic, "--key", "k3", "--new-ids")
	w.waitEmpty()
	all := readRecords(t, topic, 2*events+(events-3+keys-1)/keys)
	fresh := all[2*events:]
	require.NotSubset(t, ids(first), ids(fresh))
	requireKeyOrder(t, fresh)
	c.consume(fresh)
	require.EqualValues(
		t, events+len(fresh), w.number("SELECT COUNT(*) FROM applied"), "under new ids it applies them again",
	)
	require.Equal(t, places(all), w.archivedPlaces(topic), "what is replayed is archived again")
	require.NoError(t, run.stop())
}

// readRecords reads a topic until it has n records, and returns them in the order in
// which they were produced.
func readRecords(t testing.TB, topic string, n int) (records []*kgo.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(dbtest.Kafka(t), ",")...),
		kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	require.NoError(t, err)
	defer client.Close()
	for len(records) < n {
		fetches := client.PollFetches(ctx)
		require.Empty(t, fetches.Errors(), "%d of %d records", len(records), n)
		records = append(records, fetches.Records()...)
	}
	require.Len(t, records, n)
	byTime(records)
	return records
}

// byTime sorts by time of production; within a partition that is the order of offsets.
func byTime(records []*kgo.Record) {
	slices.SortFunc(records, func(a, b *kgo.Record) int {
		return cmp.Or(
			a.Timestamp.Compare(b.Timestamp), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset),
		)
	})
}

func id(r *kgo.Record) string {
	for _, h := range r.Headers {
		if h.Key == relay.HeaderMessageUUID {
			return string(h.Value)
		}
	}
	return ""
}

func ids(records []*kgo.Record) (all []string) {
	for _, r := range records {
		all = append(all, id(r))
	}
	return all
}

func places(records []*kgo.Record) map[string]bool {
	all := make(map[string]bool)
	for _, r := range records {
		all[fmt.Sprintf("%s is %s at %d:%d", r.Value, id(r), r.Partition, r.Offset)] = true
	}
	return all
}

// archivedPlaces are the places of the events of a topic, as the archive has them.
func (w *world) archivedPlaces(topic string) map[string]bool {
	w.t.Helper()
	rows, err := w.db.DB.QueryContext(context.Background(),
		w.names.Expand(
			"SELECT payload, event_id, kafka_partition, kafka_offset FROM {outbox_archive} WHERE topic = '"+topic+"'",
		))
	require.NoError(w.t, err)
	defer rows.Close()
	all := make(map[string]bool)
	for rows.Next() {
		var payload []byte
		var event string
		var partition, offset sql.NullInt64
		require.NoError(w.t, rows.Scan(&payload, &event, &partition, &offset))
		require.True(w.t, partition.Valid && offset.Valid, "event %s has no place", event)
		all[fmt.Sprintf("%s is %s at %d:%d", payload, event, partition.Int64, offset.Int64)] = true
	}
	require.NoError(w.t, rows.Err())
	return all
}

// requireKeyOrder checks that the values of each key ascend.
func requireKeyOrder(t testing.TB, records []*kgo.Record) {
	t.Helper()
	last := make(map[string]int)
	for _, r := range records {
		var n int
		_, err := fmt.Sscan(string(r.Value), &n)
		require.NoError(t, err)
		if before, seen := last[string(r.Key)]; seen {
			require.Greater(t, n, before, "key %s", r.Key)
		}
		last[string(r.Key)] = n
	}
}

// consumer applies records through an inbox.
type consumer struct {
	w  *world
	ib *inbox.Inbox
}

func (w *world) consumer() consumer {
	ib, err := inbox.New(w.db.Dialect, "billing")
	require.NoError(w.t, err)
	return consumer{w, ib}
}

func (c consumer) consume(records []*kgo.Record) {
	c.w.t.Helper()
	for _, r := range records {
		m := inbox.Message{
			ID: id(r), Position: &inbox.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset},
		}
		_, err := c.ib.Process(context.Background(), c.w.db.DB, m, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO applied (value) VALUES ('"+string(r.Value)+"')")
			return err
		})
		require.NoError(c.w.t, err)
	}
}

// relayCommand runs the command as an operator would.
func (w *world) relayCommand(args ...string) string {
	w.t.Helper()
	var out, errOut bytes.Buffer
	code := cli.Main(
		cli.Env{Args: args, Environ: []string{"POSTROOM_DATABASE_URL=" + w.db.URL}, Stdout: &out, Stderr: &errOut},
	)
	require.Zero(w.t, code, errOut.String())
	return out.String()
}
