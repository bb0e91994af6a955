package world_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/world"
)

// press sends a form of the page, and returns the status of what it leads to.
func press(t *testing.T, w *world.World, path string, form url.Values) int {
	t.Helper()
	response, err := http.PostForm(w.Address("gateway")+path, form)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode
}

func set(t *testing.T, w *world.World, name string, on bool) {
	t.Helper()
	form := url.Values{"name": {name}, "on": {fmt.Sprint(on)}}
	require.Equal(t, http.StatusOK, press(t, w, "/control/switch", form))
}

// page returns the page, or nothing while the gateway is away.
func page(t *testing.T, w *world.World) string {
	t.Helper()
	response, err := http.Get(w.Address("gateway") + "/")
	if err != nil {
		return ""
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(body)
}

// Whatever is killed on the page, orders end as they must when it is back.
func TestOrdersEndAfterTheBrokersOfTheProcessWereStopped(t *testing.T) {
	w := start(t, world.Config{})
	// The Kafka of the process does not forget a member of a group that was cut off while it joined: all have joined.
	requireOrdersEnd(t, w)
	requireAllHolds(t, w)
	for _, name := range []string{"Kafka", "RabbitMQ", "Redis"} {
		set(t, w, name, false)
		require.Contains(t, page(t, w), `id="s-`+name+`">stopped<`)
	}
	for _, name := range []string{"Redis", "RabbitMQ", "Kafka"} {
		set(t, w, name, true)
		require.Contains(t, page(t, w), `id="s-`+name+`">runs<`)
	}
	requireOrdersEnd(t, w)
	requireAllHolds(t, w)
}

var ordersOnThePage = regexp.MustCompile(`<strong id="orders">(\d+)</strong>`)

// Customers shop by themselves, until somebody pauses them. The gateway comes back by itself after it was killed.
func TestOrdersFlowAndTheGatewayComesBack(t *testing.T) {
	w := start(t, world.Config{Rate: 20})
	orders := func() int {
		m := ordersOnThePage.FindStringSubmatch(page(t, w))
		if m == nil {
			return -1
		}
		n, err := strconv.Atoi(m[1])
		require.NoError(t, err)
		return n
	}
	await := func(what string, f func() bool) {
		t.Helper()
		require.Eventually(t, f, kittest.Patience, 50*time.Millisecond, what)
	}
	await("orders flow", func() bool { return orders() >= 5 })
	set(t, w, "stock", false)
	require.Contains(t, page(t, w), `id="s-stock">stopped<`)
	set(t, w, "stock", true)
	set(t, w, "gateway", false)
	await("the gateway is killed", func() bool { return orders() == -1 })
	await("it is back", func() bool { return orders() >= 0 })
	before := orders()
	await("orders flow again", func() bool { return orders() > before })

	set(t, w, "flow", false)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		require.Contains(c, page(t, w), "The customers are waiting")
	}, kittest.Patience, 50*time.Millisecond)
	requireAllHolds(t, w)
	set(t, w, "reject-payments", true)
	require.Equal(t, http.StatusBadRequest, press(t, w, "/control/switch", url.Values{"name": {"warehouse"}}))
}
