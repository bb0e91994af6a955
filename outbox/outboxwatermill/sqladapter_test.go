package outboxwatermill_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/outbox/outboxtest"
	"github.com/postroom/postroom/outbox/outboxwatermill"
)

func waitFor(t testing.TB, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 20*time.Second, 10*time.Millisecond)
}

// The databases that watermill-sql/v3 speaks.
func onSQLServers(t *testing.T, fn func(t *testing.T, db dbtest.Database)) {
	t.Helper()
	for name, open := range map[string]func(testing.TB) dbtest.Database{
		dbtest.FlavorPostgreSQL15: dbtest.PostgreSQL, dbtest.FlavorPostgreSQL18: dbtest.PostgreSQL18,
		dbtest.FlavorMariaDB: dbtest.MariaDB,
	} {
		t.Run(name, func(t *testing.T) { fn(t, open(t)) })
	}
}

func newAdapter(t testing.TB, ob *outbox.Outbox) *outboxwatermill.SQLAdapter {
	t.Helper()
	a, err := outboxwatermill.NewSQLAdapter(ob, byOrder)
	require.NoError(t, err)
	return a
}

func newPublisher(t testing.TB, db sql.ContextExecutor, a *outboxwatermill.SQLAdapter) *sql.Publisher {
	t.Helper()
	pub, err := sql.NewPublisher(db, sql.PublisherConfig{SchemaAdapter: a}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pub.Close()) })
	return pub
}

// subscribe starts a stock Subscriber that polls fast and stops with the test.
func subscribe(t testing.TB, db dbtest.Database, a *outboxwatermill.SQLAdapter, topic string) <-chan *message.Message {
	t.Helper()
	sub, err := sql.NewSubscriber(db.DB, sql.SubscriberConfig{
		SchemaAdapter: a, OffsetsAdapter: a, InitializeSchema: true, // which does nothing
		PollInterval: 5 * time.Millisecond, ResendInterval: time.Millisecond, RetryInterval: 5 * time.Millisecond,
	}, nil)
	require.NoError(t, err)
	messages, err := sub.Subscribe(t.Context(), topic)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sub.Close()) })
	return messages
}

func receive(t testing.TB, messages <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case msg := <-messages:
		require.NotNil(t, msg, "the subscriber has ended")
		return msg
	case <-time.After(20 * time.Second):
		t.Fatal("no message within 20 s")
		return nil
	}
}

// Whatever the adapter writes is what Add writes, so the relay delivers it the same way.
func TestWatermillSQLsPublisherWritesEvents(t *testing.T) {
	onSQLServers(t, func(t *testing.T, db dbtest.Database) {
		dbtest.Migrate(t, db)
		ob := newOutbox(t, db)
		a := newAdapter(t, ob)
		msgs := someMessages()

		tx := begin(t, db.DB)
		require.NoError(t, newPublisher(t, tx, a).Publish("orders", msgs...))
		require.NoError(t, tx.Commit())
		rolledBack := begin(t, db.DB)
		require.NoError(t, newPublisher(t, rolledBack, a).Publish("orders", newMessage(nil, nil)))
		require.NoError(t, rolledBack.Rollback())
		alone := newMessage(nil, []byte("without a transaction of the caller's"))
		require.NoError(t, newPublisher(t, db.DB, a).Publish("others", alone))
		require.NoError(t, newPublisher(t, db.DB, a).Publish("others"))

		outboxtest.RequireEvents(t, db.DB, ob,
			eventOf("orders", msgs[0]), eventOf("orders", msgs[1]), eventOf("orders", msgs[2]),
			eventOf("others", alone))
	})
}

func TestWatermillSQLWorksOnOtherTableNames(t *testing.T) {
	onSQLServers(t, func(t *testing.T, db dbtest.Database) {
		names, opts := migrations.Options{Prefix: "shop_"}, []outbox.Option{outbox.WithTablePrefix("shop_")}
		if db.Dialect == outbox.PostgreSQL {
			names.Schema, opts = "select", append(opts, outbox.WithSchema("select")) // a word that needs its quotes
		}
		_, err := migrations.Apply(t.Context(), db.DB, db.Dialect, names)
		require.NoError(t, err)
		ob := newOutbox(t, db, opts...)
		a := newAdapter(t, ob)
		require.NoError(t, newPublisher(t, db.DB, a).Publish("orders", newMessage(nil, []byte("1"))))
		outboxtest.RequireEvents(t, db.DB, ob, outbox.Event{Topic: "orders", Payload: []byte("1")})

		msg := receive(t, subscribe(t, db, a, "orders"))
		require.Equal(t, "1", string(msg.Payload))
		msg.Ack()
		waitFor(t, func() bool { return len(outboxtest.Events(t, db.DB, ob)) == 0 })
	})
}

func TestWatermillSQLsSubscriberReadsWhatWasWritten(t *testing.T) {
	onSQLServers(t, func(t *testing.T, db dbtest.Database) {
		dbtest.Migrate(t, db)
		ob := newOutbox(t, db)
		a := newAdapter(t, ob)
		msgs := someMessages()
		require.NoError(t, newPublisher(t, db.DB, a).Publish("orders", msgs...))
		require.NoError(t, newPublisher(t, db.DB, a).Publish("others", newMessage(nil, nil)))
		_, err := db.DB.ExecContext(t.Context(),
			`INSERT INTO outbox_events (topic, event_type, payload, headers)
VALUES ('orders', 'order.paid', 'by hand', '{"n": [1, 2], "s": "t"}')`)
		require.NoError(t, err)

		messages := subscribe(t, db, a, "orders")
		for i := range msgs {
			msg := receive(t, messages)
			require.Equal(t, msgs[i].UUID, msg.UUID)
			require.Equal(t, msgs[i].Payload, msg.Payload)
			_, err := time.Parse(time.RFC3339, msg.Metadata["postroom_created_at"])
			require.NoError(t, err)
			want := message.Metadata{"postroom_created_at": msg.Metadata["postroom_created_at"]}
			for name, value := range msgs[i].Metadata {
				want[name] = value
			}
			if key := msgs[i].Metadata["order"]; key != "" {
				want[outboxwatermill.MetadataKey] = key
			}
			require.Equal(t, want, msg.Metadata)
			msg.Ack()
		}
		byHand := receive(t, messages)
		require.Equal(t, "by hand", string(byHand.Payload))
		require.Equal(t, "order.paid", byHand.Metadata["name"])
		require.Equal(t, "[1,2]", byHand.Metadata["n"])
		require.Equal(t, "t", byHand.Metadata["s"])
		byHand.Ack()
		waitFor(t, func() bool {
			left := outboxtest.Events(t, db.DB, ob)
			return len(left) == 1 && left[0].Topic == "others"
		})
	})
}

func TestASubscribersNackBringsTheMessageAgain(t *testing.T) {
	onSQLServers(t, func(t *testing.T, db dbtest.Database) {
		dbtest.Migrate(t, db)
		ob := newOutbox(t, db)
		a := newAdapter(t, ob)
		first, second := newMessage(nil, []byte("1")), newMessage(nil, []byte("2"))
		require.NoError(t, newPublisher(t, db.DB, a).Publish("orders", first, second))
		messages := subscribe(t, db, a, "orders")
		receive(t, messages).Nack()
		msg := receive(t, messages)
		require.Equal(t, first.UUID, msg.UUID, "the second does not overtake")
		outboxtest.RequireEvents(t, db.DB, ob, eventOf("orders", first), eventOf("orders", second))
		msg.Ack()
		msg = receive(t, messages)
		require.Equal(t, second.UUID, msg.UUID)
		msg.Ack()
		waitFor(t, func() bool { return len(outboxtest.Events(t, db.DB, ob)) == 0 })
	})
}

// A handler that writes in the subscriber's transaction commits with the acknowledgement.
func TestASubscribersTransactionCommitsWithTheAck(t *testing.T) {
	onSQLServers(t, func(t *testing.T, db dbtest.Database) {
		dbtest.Migrate(t, db)
		ob := newOutbox(t, db)
		a := newAdapter(t, ob)
		require.NoError(t, newPublisher(t, db.DB, a).Publish("orders", newMessage(nil, nil)))
		msg := receive(t, subscribe(t, db, a, "orders"))
		tx, ok := sql.TxFromContext(msg.Context())
		require.True(t, ok)
		require.NoError(t, ob.Add(msg.Context(), tx, outbox.Event{Topic: "answers", Key: "k"}))
		msg.Ack()
		waitFor(t, func() bool {
			left := outboxtest.Events(t, db.DB, ob)
			return len(left) == 1 && left[0].Topic == "answers"
		})
	})
}

func TestSubscribersOfOneTopicShareItInOrder(t *testing.T) {
	onSQLServers(t, func(t *testing.T, db dbtest.Database) {
		dbtest.Migrate(t, db)
		ob := newOutbox(t, db)
		a := newAdapter(t, ob)
		const count = 60
		pub := newPublisher(t, db.DB, a)
		for i := range count {
			require.NoError(t, pub.Publish("orders", newMessage(nil, []byte(strconv.Itoa(i)))))
		}
		var (
			mu      sync.Mutex
			handled []string
			done    = make(chan struct{})
		)
		for range 3 {
			messages := subscribe(t, db, a, "orders")
			go func() {
				for msg := range messages {
					mu.Lock()
					handled = append(handled, string(msg.Payload))
					if len(handled) == count {
						close(done)
					}
					mu.Unlock()
					msg.Ack()
				}
			}()
		}
		select {
		case <-done:
		case <-time.After(60 * time.Second):
			t.Fatal("not all messages came within 60 s")
		}
		waitFor(t, func() bool { return len(outboxtest.Events(t, db.DB, ob)) == 0 })
		mu.Lock()
		defer mu.Unlock()
		require.Len(t, handled, count)
		for i, payload := range handled {
			require.Equal(t, strconv.Itoa(i), payload)
		}
	})
}

// A slow handler of one topic holds its row; readers of other topics, and writers,
// do not wait for it.
func TestASlowSubscriberHoldsUpNobodyElse(t *testing.T) {
	onSQLServers(t, func(t *testing.T, db dbtest.Database) {
		dbtest.Migrate(t, db)
		ob := newOutbox(t, db)
		a := newAdapter(t, ob)
		pub := newPublisher(t, db.DB, a)
		require.NoError(t, pub.Publish("slow", newMessage(nil, nil)))
		slow := receive(t, subscribe(t, db, a, "slow"))

		open := begin(t, db.DB)
		require.NoError(t, ob.Add(t.Context(), open, outbox.Event{Topic: "fast", Key: "not committed"}))
		require.NoError(t, pub.Publish("fast", newMessage(nil, []byte("x"))))
		fast := receive(t, subscribe(t, db, a, "fast"))
		require.Equal(t, "x", string(fast.Payload))
		fast.Ack()
		slow.Ack()
	})
}

func TestNewSQLAdapterRefusesWhatItCannotKeep(t *testing.T) {
	for _, d := range []outbox.Dialect{outbox.PostgreSQL, outbox.MySQL} {
		ob, err := outbox.New(d, outbox.StrictKeyOrder())
		require.NoError(t, err)
		_, err = outboxwatermill.NewSQLAdapter(ob)
		require.ErrorIs(t, err, outboxwatermill.ErrStrictKeyOrder)
		require.ErrorContains(t, err, "use NewPublisher")
	}
	ob, err := outbox.New(outbox.SQLite)
	require.NoError(t, err)
	_, err = outboxwatermill.NewSQLAdapter(ob)
	require.ErrorIs(t, err, outboxwatermill.ErrUnsupported)
}

func TestInsertQueryChecksLikeAdd(t *testing.T) {
	for _, d := range []outbox.Dialect{outbox.PostgreSQL, outbox.MySQL} {
		ob, err := outbox.New(d)
		require.NoError(t, err)
		a := newAdapter(t, ob)
		for want, msg := range map[error]*message.Message{
			outbox.ErrReservedHeader:     newMessage(message.Metadata{"postroom_x": ""}, nil),
			outboxwatermill.ErrInvalidID: message.NewMessage("1", nil),
			outbox.ErrTooLarge:           newMessage(message.Metadata{"order": fmt.Sprintf("%0513d", 1)}, nil),
		} {
			_, err := a.InsertQuery("t", message.Messages{msg})
			require.ErrorIs(t, err, want)
		}
		many := make(message.Messages, 65535/6+1)
		for i := range many {
			many[i] = newMessage(nil, nil)
		}
		_, err = a.InsertQuery("t", many)
		require.ErrorIs(t, err, outboxwatermill.ErrTooManyMessages)
		query, err := a.InsertQuery("t", many[1:])
		require.NoError(t, err)
		require.Len(t, query.Args, 65535/6*6)
		require.Empty(t, a.SchemaInitializingQueries("t"))
	}
}

// catching keeps the first error of a Subscriber's log.
type catching struct {
	watermill.NopLogger
	errs chan error
}

func (c catching) Error(_ string, err error, _ watermill.LogFields) {
	select {
	case c.errs <- err:
	default:
	}
}

func (c catching) With(watermill.LogFields) watermill.LoggerAdapter { return c }

func TestTheAdapterWithAForeignHalfTakesNothing(t *testing.T) {
	db := dbtest.Migrate(t, dbtest.PostgreSQL(t))
	ob := newOutbox(t, db)
	a := newAdapter(t, ob)
	msg := newMessage(nil, nil)
	require.NoError(t, newPublisher(t, db.DB, a).Publish("orders", msg))
	log := catching{errs: make(chan error, 1)}
	foreign := sql.DefaultPostgreSQLOffsetsAdapter{}
	sub, err := sql.NewSubscriber(db.DB, sql.SubscriberConfig{
		SchemaAdapter: a, OffsetsAdapter: foreign, InitializeSchema: true, RetryInterval: time.Millisecond,
	}, log)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	messages, err := sub.Subscribe(ctx, "orders")
	require.NoError(t, err)
	select {
	case err := <-log.errs:
		require.ErrorContains(t, err, "the same SQLAdapter as SchemaAdapter and as OffsetsAdapter")
	case <-messages:
		t.Fatal("a message was taken, and nothing would ever delete it")
	case <-time.After(20 * time.Second):
		t.Fatal("no error within 20 s")
	}
	require.NoError(t, sub.Close())

	// An offset of another table deletes nothing here.
	ack := a.AckMessageQuery("orders", sql.Row{Offset: 1, UUID: []byte("0190a6a1-0000-7000-8000-00000000cafe")}, "")
	_, err = db.DB.ExecContext(t.Context(), ack.Query, ack.Args...)
	require.NoError(t, err)
	outboxtest.RequireEvents(t, db.DB, ob, eventOf("orders", msg))
}
