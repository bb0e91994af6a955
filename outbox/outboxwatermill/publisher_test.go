package outboxwatermill_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/components/cqrs"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/outbox/outboxtest"
	"github.com/postroom/postroom/outbox/outboxwatermill"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newOutbox(t testing.TB, db dbtest.Database, opts ...outbox.Option) *outbox.Outbox {
	t.Helper()
	ob, err := outbox.New(db.Dialect, opts...)
	require.NoError(t, err)
	return ob
}

// begin opens a transaction that is rolled back when the test ends, if it still is open.
func begin(t testing.TB, db *sql.DB) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

func newMessage(metadata message.Metadata, payload message.Payload) *message.Message {
	msg := message.NewMessage(watermill.NewUUID(), payload)
	msg.Metadata = metadata
	return msg
}

func eventOf(topic string, msg *message.Message) outbox.Event {
	return outbox.Event{
		ID: uuid.MustParse(msg.UUID), Topic: topic, Key: msg.Metadata["order"], Type: msg.Metadata["name"],
		Payload: msg.Payload, Headers: msg.Metadata,
	}
}

var byOrder = outboxwatermill.WithKey(func(_ string, msg *message.Message) string { return msg.Metadata["order"] })

func someMessages() []*message.Message {
	return []*message.Message{
		newMessage(
			message.Metadata{"name": "order.placed", "order": "o-1", "correlation_id": `a "quoted" ü 🛒`},
			[]byte("{\x00}"),
		),
		newMessage(message.Metadata{"order": "o-2"}, []byte{}),
		newMessage(nil, nil), // a tombstone
	}
}

func TestPublishWritesEventsInTheTransaction(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		for _, opts := range [][]outbox.Option{nil, {outbox.StrictKeyOrder()}} {
			ob := newOutbox(t, db, opts...)
			tx := begin(t, db.DB)
			pub := outboxwatermill.NewPublisher(ob, tx, byOrder)
			msgs := someMessages()
			require.NoError(t, pub.Publish("orders", msgs...))
			require.NoError(t, pub.Publish("orders"))
			require.NoError(t, pub.Close())
			last := newMessage(nil, []byte("after Close"))
			require.NoError(t, pub.Publish("others", last), "the transaction is the caller's, Close ends nothing")
			require.NoError(t, tx.Commit())

			var want []outbox.Event
			for _, msg := range msgs {
				want = append(want, eventOf("orders", msg))
			}
			outboxtest.RequireEvents(t, db.DB, ob, append(want, eventOf("others", last))...)
			_, err := db.DB.ExecContext(t.Context(), "DELETE FROM outbox_events")
			require.NoError(t, err)
		}
	})
}

func TestPublishedMessagesGoWithTheTransaction(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.SQLite(t))
	ob := newOutbox(t, db)
	tx := begin(t, db.DB)
	require.NoError(t, outboxwatermill.NewPublisher(ob, tx).Publish("orders", newMessage(nil, nil)))
	require.NoError(t, tx.Rollback())
	outboxtest.RequireEvents(t, db.DB, ob)
}

func TestPublishRefusesWhatTheOutboxWould(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.SQLite(t))
	ob := newOutbox(t, db)
	tx := begin(t, db.DB)
	pub := outboxwatermill.NewPublisher(ob, tx)
	for name, c := range map[string]struct {
		topic string
		msg   *message.Message
		want  error
	}{
		"Watermill's own metadata": {
			"t", newMessage(message.Metadata{"_watermill_message_uuid": "x"}, nil), outbox.ErrReservedHeader,
		},
		"our metadata": {
			"t", newMessage(message.Metadata{"postroom_created_at": "x"}, nil), outbox.ErrReservedHeader,
		},
		"a line break in metadata": {"t", newMessage(message.Metadata{"a": "b\nc"}, nil), outbox.ErrInvalidHeader},
		"no topic":                 {"", newMessage(nil, nil), outbox.ErrNoTopic},
		"a topic Kafka has not":    {"a b", newMessage(nil, nil), outbox.ErrInvalidTopic},
		"no id":                    {"t", message.NewMessage("", nil), outboxwatermill.ErrInvalidID},
		"a short UUID": {
			"t", message.NewMessage(watermill.NewShortUUID(), nil), outboxwatermill.ErrInvalidID,
		},
		"a ULID":       {"t", message.NewMessage(watermill.NewULID(), nil), outboxwatermill.ErrInvalidID},
		"the nil UUID": {"t", message.NewMessage(uuid.Nil.String(), nil), outboxwatermill.ErrInvalidID},
		"a UUID in another form": {
			"t", message.NewMessage("urn:uuid:"+watermill.NewUUID(), nil), outboxwatermill.ErrInvalidID,
		},
		"36 characters of no UUID": {
			"t", message.NewMessage("0190a6a1-0000-7000-8000-0000000000zz", nil), outboxwatermill.ErrInvalidID,
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, pub.Publish(c.topic, newMessage(nil, nil), c.msg), c.want)
		})
	}
	require.ErrorIs(
		t, outboxwatermill.NewPublisher(ob, nil).Publish("t", newMessage(nil, nil)), outbox.ErrNoTransaction,
	)
	require.NoError(t, tx.Commit())
	outboxtest.RequireEvents(t, db.DB, ob)
}

func TestWithDerivedIDsMakesAUUIDOfEachOtherID(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.SQLite(t))
	ob := newOutbox(t, db)
	namespace := uuid.MustParse("0190a6a1-0000-7000-8000-00000000cafe")
	tx := begin(t, db.DB)
	pub := outboxwatermill.NewPublisher(ob, tx, outboxwatermill.WithDerivedIDs(namespace))
	id := watermill.NewUUID()
	for _, given := range []string{"order-1", "order-1", "order-2", id} {
		require.NoError(t, pub.Publish("t", message.NewMessage(given, nil)))
	}
	require.ErrorIs(
		t, pub.Publish("t", message.NewMessage("", nil)), outboxwatermill.ErrInvalidID,
		"two messages without an id must not become one",
	)
	require.NoError(t, tx.Commit())
	first := uuid.NewSHA1(namespace, []byte("order-1"))
	outboxtest.RequireEvents(t, db.DB, ob,
		outbox.Event{ID: first, Topic: "t"}, outbox.Event{ID: first, Topic: "t"},
		outbox.Event{ID: uuid.NewSHA1(namespace, []byte("order-2")), Topic: "t"},
		outbox.Event{ID: uuid.MustParse(id), Topic: "t"})
}

func TestPublishLeavesTheMessageAsItWas(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.SQLite(t))
	msg := newMessage(message.Metadata{"name": "n"}, []byte("p"))
	before := msg.Copy()
	require.NoError(t, outboxwatermill.NewPublisher(newOutbox(t, db), begin(t, db.DB)).Publish("t", msg))
	require.True(t, before.Equals(msg))
}

// seen remembers the context of the last statement.
type seen struct {
	outbox.Tx
	ctx context.Context
}

func (s *seen) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s.ctx = ctx
	return s.Tx.ExecContext(ctx, query, args...)
}

func TestPublishHonoursTheContextOfEveryMessage(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.SQLite(t))
	type key struct{}
	tx := &seen{Tx: begin(t, db.DB)}
	pub := outboxwatermill.NewPublisher(newOutbox(t, db), tx)
	live, cancelled := newMessage(nil, nil), newMessage(nil, nil)
	live.SetContext(context.WithValue(t.Context(), key{}, "the first message's"))
	ctx, cancel := context.WithCancel(t.Context())
	cancelled.SetContext(ctx)

	require.NoError(t, pub.Publish("t", live, cancelled))
	require.Equal(t, "the first message's", tx.ctx.Value(key{}))
	require.Error(t, tx.ctx.Err(), "nothing of the call is left behind")
	cancel()
	require.ErrorIs(t, pub.Publish("t", cancelled), context.Canceled)
	waitFor(t, func() bool { return errors.Is(pub.Publish("t", live, cancelled), context.Canceled) })
}

type orderPlaced struct {
	OrderID string `json:"order_id"`
	Total   int    `json:"total"`
}

// The way a service with Watermill's CQRS gets an outbox: an EventBus per transaction.
func TestTheCQRSEventBusWritesToTheOutbox(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		ob := newOutbox(t, db)
		key := outboxwatermill.WithKey(func(_ string, msg *message.Message) string { return msg.Metadata["aggregate"] })
		place := func(commit bool, event orderPlaced) {
			tx := begin(t, db.DB)
			bus, err := cqrs.NewEventBusWithConfig(outboxwatermill.NewPublisher(ob, tx, key), cqrs.EventBusConfig{
				GeneratePublishTopic: func(
					cqrs.GenerateEventPublishTopicParams,
				) (string, error) {
					return "orders", nil
				},
				OnPublish: func(p cqrs.OnEventSendParams) error {
					p.Message.Metadata["aggregate"] = p.Event.(orderPlaced).OrderID
					return nil
				},
				Marshaler: cqrs.JSONMarshaler{GenerateName: cqrs.StructName},
			})
			require.NoError(t, err)
			require.NoError(t, bus.Publish(t.Context(), event))
			if commit {
				require.NoError(t, tx.Commit())
			} else {
				require.NoError(t, tx.Rollback())
			}
		}
		place(true, orderPlaced{"o-1", 42})
		place(false, orderPlaced{"o-2", 43})
		outboxtest.RequireEvents(t, db.DB, ob, outbox.Event{
			Topic: "orders", Key: "o-1", Type: "orderPlaced", Payload: []byte(`{"order_id":"o-1","total":42}`),
			Headers: map[string]string{"name": "orderPlaced", "aggregate": "o-1"},
		})
	})
}
