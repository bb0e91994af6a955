package notifications_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/notifications"
	"github.com/postroom/postroom/examples/shop/relays"
	"github.com/postroom/postroom/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// orders is the database of orders with its second outbox, and a relay of it.
type orders struct {
	t     *testing.T
	db    *kit.DB
	kafka kit.Kafka
	ob    *outbox.Outbox
}

func startOrders(t *testing.T, url string, kafka kit.Kafka, mails kit.Mails) orders {
	t.Helper()
	s, err := relays.New(t.Context(), relays.Config{
		Sources: []relays.Source{{Name: "orders", URL: url, Mails: true}},
		Kafka:   kafka, Mails: mails, Logger: kittest.Quiet(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	kittest.Run(t, s.Run)
	db := kittest.Open(t, url)
	ob, err := outbox.New(db.Dialect, outbox.WithTablePrefix(relays.MailPrefix))
	require.NoError(t, err)
	return orders{t, db, kafka, ob}
}

// send writes n mails about orders first, first+1, …
func (o orders) send(first, n int) {
	o.t.Helper()
	require.NoError(o.t, o.db.Tx(o.t.Context(), func(tx *sql.Tx) error {
		for i := range n {
			id := fmt.Sprintf("order-%d", first+i)
			event, err := o.kafka.Event(events.Mails, id, events.TypeMailRequested, events.MailRequested{
				Of: events.Of{OrderID: id, Customer: "ada"}, Kind: "confirmed", To: "ada@example.com", Name: "Ada",
			})
			if err != nil {
				return err
			}
			if err := o.ob.Add(o.t.Context(), tx, event); err != nil {
				return err
			}
		}
		return nil
	}))
}

func startNotifications(t *testing.T, db *kit.DB, kafka kit.Kafka, mails kit.Mails) *notifications.Service {
	t.Helper()
	s, err := notifications.New(t.Context(), db, kafka, mails, kittest.Quiet())
	require.NoError(t, err)
	kittest.Run(t, s.Run)
	return s
}

// waitForEmails waits until there are e-mails about n orders, and returns how many e-mails there are.
func waitForEmails(t *testing.T, db *kit.DB, n int) (emails int) {
	t.Helper()
	require.Eventually(t, func() bool {
		var of int
		err := db.SQL.QueryRow("SELECT COUNT(*), COUNT(DISTINCT order_id) FROM emails").Scan(&emails, &of)
		return err == nil && of == n
	}, kittest.Patience, 5*time.Millisecond)
	return emails
}

func waitForMoreThan(t *testing.T, db *kit.DB, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		var emails int
		return db.SQL.QueryRow("SELECT COUNT(*) FROM emails").Scan(&emails) == nil && emails > n
	}, kittest.Patience, time.Millisecond)
}

func TestEachEventIsOneEmailInThisProcess(t *testing.T) {
	kafka, mails := kittest.Kafka(t), kit.Mails{InProcess: kit.NewMailChannel()}
	t.Cleanup(func() { require.NoError(t, mails.InProcess.Close()) })
	db := kittest.Open(t, kittest.SQLite(t))
	o := startOrders(t, kittest.SQLite(t), kafka, mails)
	o.send(0, 5)

	s, err := notifications.New(t.Context(), db, kafka, mails, kittest.Quiet())
	require.NoError(t, err)
	for range 2 { // the second one gets all messages again
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		require.Equal(t, 5, waitForEmails(t, db, 5))
		stop()
		require.NoError(t, <-ended)
	}
	startNotifications(t, db, kafka, mails)
	o.send(5, 5)
	require.Equal(t, 10, waitForEmails(t, db, 10), "an event has two e-mails")

	w := kittest.Do(s.Handler(), "GET", "/emails/order-3", "")
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Body.String(), `"order_id":"order-3","kind":"confirmed"`)
	require.Equal(t, "[]", kittest.Do(s.Handler(), "GET", "/emails/none", "").Body.String())
}

// All connections to RabbitMQ are cut again and again: the relay sends again what was not confirmed, and RabbitMQ what
// was not acknowledged.
func TestEachEventIsOneEmailAlthoughRabbitMQIsCutOff(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		kafka := kittest.Kafka(t)
		mails, proxy := kittest.RabbitMQ(t, kafka)
		startNotifications(t, db, kafka, mails)
		o := startOrders(t, kittest.SQLite(t), kafka, mails)
		for batch := range 5 {
			o.send(batch*40, 40)
			waitForMoreThan(t, db, batch*40)
			proxy.Cut() // in the middle of the batch
		}
		require.Equal(t, 200, waitForEmails(t, db, 200), "an event has two e-mails")
	})
}

func TestACopyOfAMessageIsNoSecondEmail(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		kafka, mails := kittest.Kafka(t), kit.Mails{InProcess: kit.NewMailChannel()}
		t.Cleanup(func() { require.NoError(t, mails.InProcess.Close()) })
		startNotifications(t, db, kafka, mails)
		twice := message.NewMessage(uuid.NewString(), []byte(`{"order_id":"o","kind":"cancelled"}`))
		last := message.NewMessage(uuid.NewString(), []byte(`{"order_id":"last","kind":"cancelled"}`))
		topic := kafka.Topic(events.Mails)
		require.NoError(t, mails.InProcess.Publish(topic, twice, twice.Copy(), last))
		require.Equal(t, 2, waitForEmails(t, db, 2))
	})
}
