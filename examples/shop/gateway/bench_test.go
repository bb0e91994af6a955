package gateway

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/customers"
	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/gateway/cache"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/payments"
	"github.com/postroom/postroom/examples/shop/stock"
)

// BenchmarkOrder compares the ways to answer about one order, on real servers: from Redis, by one query of the read
// model, and by four calls to services, of which three ask their PostgreSQL. All of it is on one machine: a network
// between the services makes the calls dearer.
func BenchmarkOrder(b *testing.B) {
	ctx, kafka := b.Context(), kittest.Kafka(b)
	client := cache.Connect(kittest.Address(b, "POSTROOM_TEST_REDIS_ADDR"))
	b.Cleanup(func() { _ = client.Close() })
	at := func(h http.Handler) string {
		s := httptest.NewServer(h)
		b.Cleanup(s.Close)
		return s.URL
	}
	ofStock, err := stock.New(ctx, kittest.Open(b, kittest.PostgreSQL(b)), kafka, kittest.Quiet())
	require.NoError(b, err)
	ofPayments, err := payments.New(ctx, kittest.Open(b, kittest.PostgreSQL(b)), kafka, kittest.Quiet())
	require.NoError(b, err)
	ofCustomers, err := customers.New(ctx, kittest.Open(b, kittest.PostgreSQL(b)), kafka)
	require.NoError(b, err)
	g, err := New(ctx, Config{
		DB: kittest.Open(b, kittest.PostgreSQL(b)), Kafka: kafka, Redis: client, Cache: cache.Config{Settle: -1},
		Deadline: time.Minute, Logger: kittest.Quiet(),
		Services: Services{
			Orders: at(says(orderBody, 0)), Stock: at(ofStock.Handler()), Payments: at(ofPayments.Handler()),
			Customers: at(ofCustomers.Handler()),
		},
	})
	require.NoError(b, err)
	kittest.Run(b, g.Run)
	of := events.Of{OrderID: "o", Customer: "ada"}
	kittest.Send(b, kafka, events.Orders, "o", events.TypeOrderPlaced, events.OrderPlaced{Of: of, Version: 1})
	require.Eventually(b, func() bool {
		_, _, err := g.view.Order(ctx, "o")
		return err == nil
	}, time.Minute, time.Millisecond)

	measure := func(name string, once func() error) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := once(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	handler := g.Handler()
	measure("response from Redis", func() error {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/orders/o", nil))
		return nil
	})
	measure("one query", func() error {
		_, _, err := g.view.Order(ctx, "o")
		return err
	})
	measure("four calls", func() error {
		_, err := g.composer.order(ctx, "o", nil)
		return err
	})
}
