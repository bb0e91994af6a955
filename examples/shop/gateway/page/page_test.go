package page_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/gateway/cache"
	"github.com/postroom/postroom/examples/shop/gateway/page"
	"github.com/postroom/postroom/examples/shop/gateway/view"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) (*httptest.Server, kit.Kafka) {
	t.Helper()
	kafka := kittest.Kafka(t)
	raise := func(context.Context, cache.Versions) error { return nil }
	m, err := view.New(t.Context(), kittest.Open(t, kittest.SQLite(t)), kafka, raise, kittest.Quiet())
	require.NoError(t, err)
	p, err := page.New(page.Config{View: m, Every: 10 * time.Millisecond,
		Invariants: func(context.Context) ([]page.Invariant, error) {
			return []page.Invariant{
				{Name: "money", Holds: true, Figures: "balances 99,100 + taken 900 = deposited 100,000"},
				{Name: "e-mails", Figures: "3 of 4", Reason: "One mail was lost, because it was not in the outbox."},
			}, nil
		}})
	require.NoError(t, err)
	server := httptest.NewServer(p)
	kittest.Run(t, p.Run)
	t.Cleanup(server.Close)
	kittest.Run(t, m.Run)
	return server, kafka
}

// tell sends the events of n orders that end in different states.
func tell(t *testing.T, kafka kit.Kafka, n int) {
	t.Helper()
	for i := range n {
		id := fmt.Sprintf("%08d-order", 77*i+11)
		of := events.Of{OrderID: id, Customer: "ada"}
		send := func(topic, eventType string, body any) { kittest.Send(t, kafka, topic, id, eventType, body) }
		send(events.Orders, events.TypeOrderPlaced, events.OrderPlaced{
			Of: of, Version: 1, Flow: events.Orchestrated, Cents: int64(199 * (i + 1)),
			Items: []events.Item{{SKU: "fountain pen", Quantity: 1}},
		})
		send(events.Stock, events.TypeStockReserved, events.StockReserved{Of: of})
		switch i % 4 {
		case 0, 1:
			send(events.Payments, events.TypePaymentTaken, events.PaymentTaken{Of: of, Cents: int64(199 * (i + 1))})
			send(events.Orders, events.TypeOrderConfirmed, events.OrderConfirmed{Of: of, Version: 2})
		case 2:
			send(events.Payments, events.TypePaymentRefused, events.PaymentRefused{Of: of, Reason: "no account"})
			send(events.Orders, events.TypeOrderCancelled,
				events.OrderCancelled{Of: of, Version: 2, Reason: events.ReasonPaymentRefused})
		}
	}
}

func get(t *testing.T, url string) (status int, body, policy string) {
	t.Helper()
	response, err := http.Get(url)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	var text strings.Builder
	_, err = bufio.NewReader(response.Body).WriteTo(&text)
	require.NoError(t, err)
	return response.StatusCode, text.String(), response.Header.Get("Content-Security-Policy")
}

func TestThePageShowsOrdersAndInvariantsAndFollowsThem(t *testing.T) {
	server, kafka := start(t)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	status, body, policy := get(t, server.URL)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, policy, "default-src 'none'")
	require.NotContains(t, body, "style=", "the policy allows no styles in the page")
	require.Contains(t, body, "There is no order yet.")
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		_, body, _ := get(t, server.URL)
		require.Contains(c, body, "One mail was lost")
		require.Contains(c, body, "1 of 2 hold")
		require.Contains(c, body, "Looked at")
	}, kittest.Patience, 10*time.Millisecond)
	require.NotContains(t, body, "<button", "nothing can be switched here")

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/watch/events", nil)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	tell(t, kafka, 1)
	lines := bufio.NewScanner(response.Body)
	moved, confirmed := false, false
	for (!moved || !confirmed) && lines.Scan() {
		moved = moved || strings.HasPrefix(lines.Text(), "data: map") && strings.Contains(lines.Text(), "edge moves")
		confirmed = confirmed || strings.HasPrefix(lines.Text(), "data: states") &&
			strings.Contains(lines.Text(), "confirmed <b>1</b>")
	}
	require.NoError(t, lines.Err())

	// Events of different topics arrive in any order: the order can be confirmed before its stock is.
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		status, body, _ := get(t, server.URL+"/watch/orders/00000011-order")
		require.Equal(c, http.StatusOK, status)
		for _, part := range []string{"order.placed", "stock.reserved", "payment.taken", "order.confirmed", "1.99 €"} {
			require.Contains(c, body, part)
		}
	}, kittest.Patience, 10*time.Millisecond)
	status, _, _ = get(t, server.URL+"/watch/orders/unknown")
	require.Equal(t, http.StatusNotFound, status)
}
