package inboxkafka_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbtest"
)

// A spelling mistake in a topic or an address must not look like a consumer that has nothing to do.
func TestAConsumerSaysWhatItWaitsFor(t *testing.T) {
	t.Run("a topic that does not exist", func(t *testing.T) {
		w := newWorld(t, dbtest.SQLite(t), 1)
		cfg := w.config(t, inboxkafka.Batch)
		missing := w.topic + "-missing"
		cfg.Topics = append(cfg.Topics, missing)
		log := newLog()
		cfg.Logger = log.logger()
		r := consume(t, cfg, w.effect)
		log.awaits(t,
			`inboxkafka: waiting: topics ["`+missing+`"] do not exist, or this user has no right to see them; `+
				"the consumer reads them as soon as they exist", 1)
		admin := kadm.NewClient(w.producer)
		_, err := admin.CreateTopic(t.Context(), 1, 1, nil, missing)
		require.NoError(t, err)
		defer func() { _, _ = admin.DeleteTopic(context.Background(), missing) }()
		log.awaits(t, "inboxkafka: brokers and topics are available", 1)
		r.end(t)
	})
	t.Run("a broker that does not answer", func(t *testing.T) {
		w := world{Database: dbtest.Migrate(t, dbtest.SQLite(t)), topic: "orders", brokers: []string{"127.0.0.1:1"}}
		cfg := w.config(t, inboxkafka.Batch)
		log := newLog()
		cfg.Logger = log.logger()
		r := consume(t, cfg, w.effect)
		log.awaits(t, "inboxkafka: waiting: no broker answers: check that they run, and check the addresses", 1)
		r.end(t)
	})
}

// What could not be decoded is decoded when it is retried, and not given to the handler as it is.
func TestAnUndecodableRecordThatIsRetriedIsDecoded(t *testing.T) {
	w := newWorld(t, dbtest.PostgreSQL(t), 1)
	require.NoError(t, w.producer.ProduceSync(t.Context(),
		&kgo.Record{Topic: w.topic, Key: []byte("k"), Value: []byte(`{"id": "e1", "body": "payload"}`)}).FirstErr())
	cfg := w.config(t, inboxkafka.Batch)
	cfg.ReplayEvery = 20 * time.Millisecond
	r := consume(t, cfg, w.effect)
	require.Eventually(t, func() bool {
		return w.count(
			t, "SELECT count(*) FROM inbox_parked WHERE state = 'failed'") == 1
	}, patience, 10*time.Millisecond)
	w.relay(t, "inbox", "parked", "retry", "--all")
	require.Eventually(t, func() bool {
		return w.count(t,
			"SELECT count(*) FROM inbox_parked WHERE state = 'failed' "+
				"AND error LIKE 'it still cannot be decoded: %'") == 1
	}, patience, 10*time.Millisecond)
	r.end(t)
	require.Empty(t, w.effects(t))

	cfg.Decode = func(r *kgo.Record) (inbox.Message, error) {
		var event struct{ ID, Body string }
		err := json.Unmarshal(r.Value, &event)
		return inbox.Message{ID: event.ID, Payload: []byte(event.Body)}, err
	}
	r = consume(t, cfg, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		if string(m.Payload) != "payload" || m.Key != "k" || m.Topic != w.topic || m.Position.Offset != 0 {
			return errors.New("not as it was produced")
		}
		return w.effect(ctx, tx, m)
	})
	w.relay(t, "inbox", "parked", "retry", "--all")
	require.Equal(t, []string{"e1"}, w.awaitEffects(t, 1))
	require.Eventually(t, func() bool { return w.count(t, "SELECT count(*) FROM inbox_parked") == 0 }, patience,
		10*time.Millisecond)
	require.Equal(t, 1, w.count(t, "SELECT count(*) FROM inbox_events WHERE message_id = 'e1'"),
		"its own id is known from now on")
	r.end(t)
}

// Without its database a consumer ends at once, and says what to look at: the URL may be wrong.
func TestADatabaseThatIsNotThereAtTheStartEndsRun(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close()) // nobody has the port now
	for driver, dsn := range map[string]string{
		"pgx":   "postgres://u@" + listener.Addr().String() + "/billing",
		"mysql": "u@tcp(" + listener.Addr().String() + ")/billing",
	} {
		db, err := sql.Open(driver, dsn)
		require.NoError(t, err)
		defer func() { _ = db.Close() }()
		ib, err := inbox.New(map[string]inbox.Dialect{"pgx": inbox.PostgreSQL, "mysql": inbox.MySQL}[driver], "billing")
		require.NoError(t, err)
		consumer, err := inboxkafka.New(inboxkafka.Config{Inbox: ib, DB: db, Brokers: []string{"127.0.0.1:1"},
			Group: "billing", Topics: []string{"orders"}})
		require.NoError(t, err)
		err = consumer.Run(t.Context(), func(context.Context, *sql.Tx, inbox.Message) error { return nil })
		require.ErrorContains(t, err, "(nothing listens there: check that the server runs, and the host and port in "+
			"the URL)")
	}
}

// A consumer that is stopped while it waits for its database ends without an error, as at any other time.
func TestAConsumerThatIsStoppedWhileItStartsEndsWithoutAnError(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	db, err := sql.Open("pgx", "postgres://u@"+listener.Addr().String()+"/billing?sslmode=disable")
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	ib, err := inbox.New(inbox.PostgreSQL, "billing-stopped")
	require.NoError(t, err)
	consumer, err := inboxkafka.New(inboxkafka.Config{Inbox: ib, DB: db, Brokers: []string{"127.0.0.1:1"},
		Group: "billing", Topics: []string{"orders"}})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- consumer.Run(ctx, func(context.Context, *sql.Tx, inbox.Message) error { return nil })
	}()
	silent, err := listener.Accept()
	require.NoError(t, err)
	stop()
	require.NoError(t, <-ended)
	require.NoError(t, silent.Close())
}
