package gateway

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/gateway/cache"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
)

// BenchmarkOrder compares the ways to answer about one order: from the cache, by one query of the read model, and by
// four calls to services on this machine, which answer at once and ask no database.
func BenchmarkOrder(b *testing.B) {
	kafka := kittest.Kafka(b)
	server := miniredis.RunT(b)
	client := cache.Connect(server.Addr())
	b.Cleanup(func() { _ = client.Close() })
	at := func(h http.HandlerFunc) string {
		s := httptest.NewServer(h)
		b.Cleanup(s.Close)
		return s.URL
	}
	g, err := New(b.Context(), Config{
		DB: kittest.Open(b, kittest.PostgreSQL(b)), Kafka: kafka, Redis: client, Cache: cache.Config{Settle: -1},
		Deadline: time.Minute, Logger: kittest.Quiet(),
		Services: Services{
			Orders: at(says(orderBody, 0)), Stock: at(says(`{"state":"reserved"}`, 0)),
			Payments: at(says(`{"state":"taken","cents":5}`, 0)), Customers: at(says(`{"name":"Ada","version":1}`, 0)),
		},
	})
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	b.Cleanup(func() { cancel(); require.NoError(b, <-ended) })
	of := events.Of{OrderID: "o", Customer: "ada"}
	kittest.Send(b, kafka, events.Orders, "o", events.TypeOrderPlaced, events.OrderPlaced{Of: of, Version: 1})
	require.Eventually(b, func() bool { _, _, err := g.view.Order(ctx, "o"); return err == nil }, time.Minute, time.Millisecond)

	measure := func(name string, calls float64, once func() error) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := once(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(calls, "calls/op")
		})
	}
	handler := g.Handler()
	measure("cache", 1, func() error {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/orders/o", nil))
		return nil
	})
	measure("read model", 1, func() error {
		_, _, err := g.view.Order(ctx, "o")
		return err
	})
	measure("composition", 4, func() error {
		_, err := g.composer.order(ctx, "o", nil)
		return err
	})
}
