package relaykafka_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/kafkaread"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// txWorld is a source in exactly-once mode, and the Kafka behind it.
type txWorld struct {
	t       testing.TB
	brokers []string
	source  relay.Identity
	cfg     relaykafka.Config
	admin   *kadm.Client
}

// realTx is a txWorld on the real Kafka. Its manifest topic is deleted after the test.
func realTx(t testing.TB) *txWorld { return newTxWorld(t, realBrokers(t)) }

func newTxWorld(t testing.TB, brokers []string) *txWorld {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	w := &txWorld{
		t: t, brokers: brokers, admin: kadm.NewClient(client),
		source: relay.Identity{Source: "default", ID: uuid.New(), Owner: uuid.New(), Epoch: 1},
		cfg:    relaykafka.Config{Brokers: brokers, Logger: quiet()},
	}
	t.Cleanup(func() {
		if w.admin != nil {
			_, _ = w.admin.DeleteTopic(context.Background(), w.manifest()) // if it exists
		}
		client.Close()
	})
	return w
}

func (w *txWorld) manifest() string { return "postroom.manifest." + w.source.ID.String() }

func (w *txWorld) transactionalID() string { return "postroom." + w.source.ID.String() }

func (w *txWorld) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	w.t.Cleanup(cancel)
	return ctx
}

// tryOpen opens a session with its own answers, and closes it after the test.
func (w *txWorld) tryOpen(position []byte) (*txTurn, error) {
	turn := &txTurn{world: w, answers: newAnswers()}
	session, err := newSink(w.t, w.cfg).OpenTransactional(w.ctx(), w.source, position, turn.ack)
	if err != nil {
		return nil, err
	}
	w.t.Cleanup(session.Close)
	turn.TransactionalSession = session
	return turn, nil
}

func (w *txWorld) open(position []byte) *txTurn {
	w.t.Helper()
	turn, err := w.tryOpen(position)
	require.NoError(w.t, err)
	return turn
}

// txTurn is a session and the acknowledgements that it sent.
type txTurn struct {
	relay.TransactionalSession
	*answers
	world *txWorld
}

func (s *txTurn) deliver(records ...*relay.Record) []error {
	s.world.t.Helper()
	s.Deliver(s.world.ctx(), records)
	return s.wait(s.world.t, records...)
}

// commit delivers records, which must all be acknowledged without an error.
func (s *txTurn) commit(records ...*relay.Record) {
	s.world.t.Helper()
	for _, err := range s.deliver(records...) {
		require.NoError(s.world.t, err)
	}
}

// sent collects the rows that Sent names.
func (s *txTurn) sent() []relay.Sent {
	s.world.t.Helper()
	var all []relay.Sent
	require.NoError(s.world.t, s.Sent(s.world.ctx(), func(rows []relay.Sent) error {
		all = append(all, rows...)
		return nil
	}))
	return all
}

func sentOf(records ...*relay.Record) []relay.Sent {
	var list []relay.Sent
	for _, r := range records {
		list = append(list, relay.Sent{ID: r.ID, EventID: r.EventID})
	}
	return list
}

// committed returns what a consumer with read_committed gets from a topic. It first waits until the consumer
// can read to the current end, because a commit is answered before its markers are written everywhere.
func committed(t testing.TB, brokers []string, topic string) []*kgo.Record {
	t.Helper()
	return consumeUpTo(t, brokers, topic, kgo.ReadCommitted())
}

// uncommitted reads all records of a topic, including those of open and aborted transactions.
func uncommitted(t testing.TB, brokers []string, topic string) []*kgo.Record {
	t.Helper()
	return consumeUpTo(t, brokers, topic, kgo.ReadUncommitted())
}

func consumeUpTo(t testing.TB, brokers []string, topic string, level kgo.IsolationLevel) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	records, err := kafkaread.Records(ctx, brokers, topic, level, kgo.DisableFetchSessions())
	require.NoError(t, err)
	return records
}

// eventIDs returns the event ids of Kafka's records, by key and in order.
func eventIDs(records []*kgo.Record) map[string][]string {
	list := make(map[string][]string)
	for _, r := range records {
		for _, h := range r.Headers {
			if h.Key == relay.HeaderMessageUUID {
				list[string(r.Key)] = append(list[string(r.Key)], string(h.Value))
			}
		}
	}
	return list
}

func wantedIDs(records ...*relay.Record) map[string][]string {
	list := make(map[string][]string)
	for _, r := range records {
		list[string(r.Key)] = append(list[string(r.Key)], r.EventID.String())
	}
	return list
}

func (w *txWorld) topic(partitions int) string {
	w.t.Helper()
	return dbtest.Topic(w.t, partitions)
}

// batches makes deliveries of records with these sizes.
func batches(topic string, sizes ...int) (list [][]*relay.Record, all []*relay.Record) {
	next := int64(1)
	for _, n := range sizes {
		batch := numbered(next, n, 7, topic)
		next += int64(n)
		list, all = append(list, batch), append(all, batch...)
	}
	return list, all
}
