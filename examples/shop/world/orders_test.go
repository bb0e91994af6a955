package world_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/world"
)

// Orders of both flows go through all services. Each ends as it must: paid and reserved, or with nothing left of it.
func TestOrdersEndConfirmedOrCompensated(t *testing.T) {
	w := start(t, world.Config{})
	requireOrdersEnd(t, w)
	requireAllHolds(t, w)
}

func requireOrdersEnd(t *testing.T, w *world.World) {
	t.Helper()
	rich := fmt.Sprint(post(t, w.Address("customers")+"/customers", `{"name":"Ada","email":"ada@example.org"}`)["id"])
	poor := fmt.Sprint(post(t, w.Address("customers")+"/customers", `{"name":"Bob","email":"bob@example.org"}`)["id"])
	post(t, w.Address("stock")+"/items/pencil/deliveries", `{"quantity":10}`)
	post(t, w.Address("payments")+"/accounts/"+rich+"/deposits", `{"cents":1000000}`)
	post(t, w.Address("payments")+"/accounts/"+poor+"/deposits", `{"cents":1}`)
	placed := map[string]string{} // the order, and how it must end
	for _, flow := range []events.Flow{events.Orchestrated, events.Choreographed} {
		placed[place(t, w, rich, flow, 2)] = "confirmed"
		placed[place(t, w, rich, flow, 900)] = "cancelled: " + events.ReasonStockShort
		placed[place(t, w, poor, flow, 1)] = "cancelled: " + events.ReasonPaymentRefused
	}
	for id, want := range placed {
		awaitOrder(t, w, id, want)
	}
}

// place orders pencils. If the replica of customers in orders is behind, it sends the order again with the same key.
func place(t *testing.T, w *world.World, customer string, flow events.Flow, quantity int) string {
	t.Helper()
	key := uuid.NewString()
	var accepted events.Of
	require.Eventually(t, func() bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.Address("gateway")+"/orders",
			strings.NewReader(fmt.Sprintf(`{"customer":%q,"flow":%q,"items":[{"sku":"pencil","quantity":%d}]}`,
				customer, flow, quantity)))
		require.NoError(t, err)
		r.Header.Set("Idempotency-Key", key)
		response, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode == http.StatusUnprocessableEntity {
			return false
		}
		require.Equal(t, http.StatusAccepted, response.StatusCode)
		require.NoError(t, json.NewDecoder(response.Body).Decode(&accepted))
		return true
	}, kittest.Patience, 50*time.Millisecond)
	return accepted.OrderID
}

// awaitOrder waits until the gateway's read model has the order as it must end. The gateway also answers from the
// services, with a header that says so: such an answer would be right although the read model is empty.
func awaitOrder(t *testing.T, w *world.World, id, want string) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		response, err := http.Get(w.Address("gateway") + "/orders/" + id)
		require.NoError(c, err)
		defer func() { _ = response.Body.Close() }()
		require.Equal(c, http.StatusOK, response.StatusCode)
		require.Empty(c, response.Header.Get("X-Answer-From"))
		var order struct{ Status, Reason string }
		require.NoError(c, json.NewDecoder(response.Body).Decode(&order))
		ended := order.Status
		if order.Reason != "" {
			ended += ": " + order.Reason
		}
		require.Equal(c, want, ended)
	}, kittest.Patience, 50*time.Millisecond)
}
