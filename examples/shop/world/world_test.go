package world_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/world"
)

func TestMain(m *testing.M) {
	// A package that Watermill's Kafka imports starts this goroutine, and never ends it.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

func start(t *testing.T, cfg world.Config) *world.World {
	t.Helper()
	cfg.Log = kittest.Quiet()
	w, err := world.Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return w
}

func post(t *testing.T, url, body string) map[string]any {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Idempotency-Key", uuid.NewString())
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, response.StatusCode, string(answer))
	var fields map[string]any
	require.NoError(t, json.Unmarshal(answer, &fields))
	return fields
}

// A choreographed order goes through stock and payments, with a service and the relays stopped and started on its way.
func TestPartsStopAndStartWhileOthersRun(t *testing.T) {
	w := start(t, world.Config{})
	customer := fmt.Sprint(post(t, w.Address("customers")+"/customers", `{"name":"Ada","email":"a@b"}`)["id"])
	post(t, w.Address("stock")+"/items/pencil/deliveries", `{"quantity":5}`)
	post(t, w.Address("payments")+"/accounts/"+customer+"/deposits", `{"cents":500}`)

	require.NoError(t, w.Stop("payments"))
	_, err := http.Get(w.Address("payments") + "/accounts/" + customer)
	require.Error(t, err, "a stopped part answers")
	id := place(t, w, customer, events.Choreographed, 2)
	kittest.Events(t, w.Kafka, events.Stock, 1)

	require.NoError(t, w.Stop("relays"))
	require.NoError(t, w.StartPart(t.Context(), "payments"))
	require.NoError(t, w.StartPart(t.Context(), "relays"))
	var taken events.PaymentTaken
	kittest.Events(t, w.Kafka, events.Payments, 1)[0].Into(t, &taken)
	of := events.Of{OrderID: id, Customer: customer}
	require.Equal(t, events.PaymentTaken{Of: of, Flow: events.Choreographed, Cents: 200}, taken)
	awaitMail(t, w, id)
	requireAllHolds(t, w)
	for _, part := range w.Parts() {
		require.True(t, part.Running, part.Name)
		require.Empty(t, part.Failure, part.Name)
	}
	require.Error(t, w.Stop("warehouse"))
	require.Error(t, w.StartPart(t.Context(), "warehouse"))
}

// requireAllHolds waits until all invariants hold.
func requireAllHolds(t *testing.T, w *world.World) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		rows, err := w.Audit(t.Context())
		require.NoError(c, err)
		require.NotEmpty(c, rows)
		for _, row := range rows {
			assert.True(c, row.Holds, "%s: %s", row.Name, row.Figures)
		}
	}, kittest.Patience, 50*time.Millisecond)
}

// awaitMail waits for the e-mail of an order that is confirmed.
func awaitMail(t *testing.T, w *world.World, id string) {
	t.Helper()
	require.Eventually(t, func() bool {
		response, err := http.Get(w.Address("notifications") + "/emails/" + id)
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		emails, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return strings.Contains(string(emails), `"kind":"confirmed"`)
	}, kittest.Patience, 50*time.Millisecond)
}

// Half of the services are on PostgreSQL, and half on MariaDB.
func TestTheWorldRunsOnRealServers(t *testing.T) {
	cfg := world.Config{
		PostgresURL:  kittest.Address(t, "POSTROOM_TEST_POSTGRES_URL"),
		MariaDBURL:   kittest.Address(t, "POSTROOM_TEST_MARIADB_URL"),
		KafkaBrokers: strings.Split(kittest.Address(t, "POSTROOM_TEST_KAFKA_BROKERS"), ","),
		Prefix:       "shop" + strings.ToLower(rand.Text()[:8]) + "_",
	}
	t.Cleanup(func() {
		kittest.DropDatabases(t, cfg.PostgresURL, cfg.Prefix)
		kittest.DropDatabases(t, cfg.MariaDBURL, cfg.Prefix)
	})
	kafka := kit.Kafka{Brokers: cfg.KafkaBrokers, Prefix: strings.ReplaceAll(cfg.Prefix, "_", "-")}
	t.Cleanup(func() { kittest.DeleteTopics(t, kafka) })
	mails, _ := kittest.RabbitMQ(t, kafka)
	cfg.AMQPURL = mails.URL

	w := start(t, cfg)
	require.Equal(t, kafka, w.Kafka)
	post(t, w.Address("customers")+"/customers", `{"name":"Ada","email":"a@b"}`)
	post(t, w.Address("stock")+"/items/pen/deliveries", `{"quantity":5}`)
	require.Len(t, kittest.Events(t, w.Kafka, events.Customers, 1), 1)
	requireOrdersEnd(t, w)
	requireAllHolds(t, w)
	requireShardIsAdded(t, w)
}

// The Kafka and the mails of this process are lost at its end: a database that stays has deleted them from its outbox.
func TestServersAndWhatIsInThisProcessAreNotMixed(t *testing.T) {
	database, kafka := "postgres://127.0.0.1:1/none", []string{"127.0.0.1:1"}
	for _, cfg := range []world.Config{
		{PostgresURL: database}, {MariaDBURL: database, KafkaBrokers: kafka}, {AMQPURL: "amqp://127.0.0.1:1/"},
		{KafkaBrokers: kafka, AMQPURL: "amqp://127.0.0.1:1/"},
	} {
		_, err := world.Start(t.Context(), cfg)
		require.ErrorContains(t, err, "is lost at its end")
	}
}
