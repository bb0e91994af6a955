package orders_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/orders"
	"github.com/postroom/postroom/examples/shop/orders/order"
	"github.com/postroom/postroom/examples/shop/orders/shards"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// bench is the orders service with its shards and relays, and stock and payments that say yes to everything.
type bench struct {
	t       *testing.T
	kafka   kit.Kafka
	shards  []shards.Shard
	client  *kgo.Client
	service *orders.Service
	handler http.Handler
	stop    func()
}

// newBench makes databases and a Kafka.
func newBench(t *testing.T, urls ...func(testing.TB) string) *bench {
	t.Helper()
	b := &bench{t: t, kafka: kittest.Kafka(t)}
	require.NoError(t, b.kafka.CreateTopics(t.Context(), events.Mails))
	for i, url := range urls {
		b.shards = append(b.shards, shards.Shard{Name: fmt.Sprintf("orders-%d", i), DB: kittest.Open(t, url(t))})
	}
	return b
}

// start runs everything until the test or stop ends it. Customers live in the first old shards.
func (b *bench) start(old int) *bench {
	b.t.Helper()
	var err error
	b.service, err = orders.New(b.t.Context(), orders.Config{
		Shards: b.shards, OldShards: old, Kafka: b.kafka, Timeout: time.Minute, Logger: quiet,
	})
	require.NoError(b.t, err)
	b.handler = b.service.Handler()
	b.client, err = kgo.NewClient(kgo.SeedBrokers(b.kafka.Brokers...), kgo.ConsumeTopics(
		b.kafka.Topic(events.StockCommands), b.kafka.Topic(events.PaymentCommands), b.kafka.Topic(events.Orders)))
	require.NoError(b.t, err)

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	run := func(name string, part func(context.Context) error) {
		running.Go(func() {
			if err := part(ctx); err != nil {
				b.t.Errorf("%s: %v", name, err)
			}
		})
	}
	run("orders", b.service.Run)
	run("stock and payments", b.serve)
	for _, s := range b.shards {
		for _, prefix := range []string{"", orders.MailPrefix} { // mails go to Kafka here as well
			run("relay of "+prefix+s.Name, func(ctx context.Context) error { return runRelay(ctx, s, prefix, b.kafka) })
		}
	}
	client := b.client
	b.stop = sync.OnceFunc(func() { cancel(); running.Wait(); client.Close() })
	b.t.Cleanup(b.stop)
	return b
}

func runRelay(ctx context.Context, s shards.Shard, prefix string, kafka kit.Kafka) error {
	sink, err := relaykafka.New(relaykafka.Config{Brokers: kafka.Brokers})
	if err != nil {
		return err
	}
	r, err := relay.New(relay.Config{
		DB: s.DB.SQL, Dialect: s.DB.Dialect, Sink: sink, Source: prefix + s.Name, TablePrefix: prefix,
		LeaseTTL: 30 * time.Second, Logger: quiet,
	})
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

// serve is stock and payments.
func (b *bench) serve(ctx context.Context) error {
	for {
		fetches := b.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		for _, r := range fetches.Records() {
			var of struct {
				events.Of
				Flow events.Flow `json:"flow"`
			}
			if err := json.Unmarshal(r.Value, &of); err != nil {
				return err
			}
			for _, answer := range answers(header(r, "name"), of.Flow) {
				topic, _, _ := strings.Cut(answer, ".")
				topic = map[string]string{"stock": events.Stock, "payment": events.Payments}[topic]
				if err := b.produce(ctx, topic, of.OrderID, answer, of.Of); err != nil {
					return err
				}
			}
		}
	}
}

func answers(kind string, flow events.Flow) []string {
	choreographed := flow == events.Choreographed
	switch {
	case kind == events.TypeReserveStock:
		return []string{events.TypeStockReserved}
	case kind == events.TypeTakePayment:
		return []string{events.TypePaymentTaken}
	case kind == events.TypeRefundPayment:
		return []string{events.TypePaymentRefunded}
	case kind == events.TypeReleaseStock:
		return []string{events.TypeStockReleased}
	case kind == events.TypeOrderPlaced && choreographed:
		return []string{events.TypeStockReserved, events.TypePaymentTaken}
	case kind == events.TypeOrderCancelRequested && choreographed:
		return []string{events.TypeStockReleased, events.TypePaymentRefunded}
	}
	return nil
}

func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// produce is an event of another service, delivered twice.
func (b *bench) produce(ctx context.Context, topic, key, kind string, body any) error {
	value, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r := &kgo.Record{Topic: b.kafka.Topic(topic), Key: []byte(key), Value: value, Headers: []kgo.RecordHeader{
		{Key: relay.HeaderMessageUUID, Value: []byte(uuid.NewString())}, {Key: "name", Value: []byte(kind)},
	}}
	again := *r
	return b.client.ProduceSync(ctx, r, &again).FirstErr()
}

func (b *bench) request(method, path, key, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return w
}

// until repeats a request until the answer is right.
func (b *bench) until(right func(w *httptest.ResponseRecorder) bool, method, path string) {
	b.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if right(b.request(method, path, "", "")) {
			return
		}
		select {
		case <-b.t.Context().Done():
			b.t.Fatal("never got the right answer")
		case <-tick.C:
		}
	}
}

// knowCustomer makes a customer known in all shards.
func (b *bench) knowCustomer(id string) {
	b.t.Helper()
	require.NoError(b.t, b.produce(b.t.Context(), events.Customers, id, events.CustomerCreated,
		events.Customer{ID: id, Name: "Ada", Email: "ada@example.org", Version: 1}))
	for _, s := range b.shards {
		b.waitForCustomer(s, id, 1)
	}
}

func (b *bench) waitForCustomer(s shards.Shard, id string, want int) {
	b.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for n := -1; n != want; <-tick.C {
		require.NoError(b.t, s.DB.SQL.QueryRowContext(b.t.Context(),
			s.DB.Bind("SELECT COUNT(*) FROM customers WHERE id = ?"), id).Scan(&n))
	}
}

func orderBody(customer string, flow events.Flow) string {
	return fmt.Sprintf(`{"customer":%q,"items":[{"sku":"tea","quantity":2}],"flow":%q}`, customer, flow)
}

func orderOf(customer, items string) string {
	return fmt.Sprintf(`{"customer":%q,"items":[%s]}`, customer, items)
}

// place places an order and waits until it is confirmed.
func (b *bench) place(customer, key string, flow events.Flow) (path string, o order.Order) {
	b.t.Helper()
	w := b.request("POST", "/orders", key, orderBody(customer, flow))
	require.Equal(b.t, http.StatusAccepted, w.Code, w.Body.String())
	path = w.Header().Get("Location")
	return path, b.waitForStatus(path, order.Confirmed)
}

func (b *bench) waitForStatus(path string, want order.Status) (o order.Order) {
	b.t.Helper()
	b.until(func(w *httptest.ResponseRecorder) bool {
		o = order.Order{}
		return w.Code == http.StatusOK && json.Unmarshal(w.Body.Bytes(), &o) == nil && o.Status == want
	}, "GET", path)
	return o
}

// mailsOf waits for two mails about an order, and returns their kinds.
func (b *bench) mailsOf(orderID string) (kinds []string) {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.kafka.Brokers...), kgo.ConsumeTopics(b.kafka.Topic(events.Mails)))
	require.NoError(b.t, err)
	defer client.Close()
	for len(kinds) < 2 {
		fetches := client.PollFetches(b.t.Context())
		require.NoError(b.t, fetches.Err())
		for _, r := range fetches.Records() {
			var mail events.MailRequested
			require.NoError(b.t, json.Unmarshal(r.Value, &mail))
			if mail.OrderID == orderID {
				require.Equal(b.t, "ada@example.org", mail.To)
				kinds = append(kinds, mail.Kind)
			}
		}
	}
	return kinds
}
