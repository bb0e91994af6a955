package page_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/gateway/cache"
	"github.com/postroom/postroom/examples/shop/gateway/page"
	"github.com/postroom/postroom/examples/shop/gateway/view"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
)

// board is a board of switches that nothing is connected to.
type board struct {
	mu  sync.Mutex
	off map[string]bool
}

func (b *board) Switches() []page.Switch {
	b.mu.Lock()
	defer b.mu.Unlock()
	return []page.Switch{
		{Name: "flow", Group: page.Flow, On: !b.off["flow"]},
		{Name: "stock", Group: page.Services, Title: "stock", On: !b.off["stock"]},
		{Name: "Kafka", Group: page.Brokers, Title: "Kafka", On: true, Missing: "It is a server of yours."},
		{Name: "inbox", Group: page.Rules, Title: "Inbox", On: !b.off["inbox"], Protects: []string{"e-mails"},
			Without: "There is a second e-mail.", Docs: "https://example.org/inbox"},
	}
}

func (b *board) Set(_ context.Context, name string, on bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if name == "unknown" {
		return errors.New("there is no switch unknown")
	}
	b.off[name] = !on
	return nil
}

func (b *board) PlaceOrder(context.Context) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.off["orders"] {
		return "", errors.New("nobody answered")
	}
	return "order-1", nil
}

func startControlled(t *testing.T) *httptest.Server {
	t.Helper()
	raise := func(context.Context, cache.Versions) error { return nil }
	m, err := view.New(t.Context(), kittest.Open(t, kittest.SQLite(t)), kittest.Kafka(t), raise, kittest.Quiet())
	require.NoError(t, err)
	b := &board{off: map[string]bool{}}
	p, err := page.New(page.Config{View: m, Controls: b,
		Invariants: func(context.Context) ([]page.Invariant, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			return []page.Invariant{{Name: "e-mails", Holds: !b.off["inbox"], Figures: "4 e-mails of 3 events"}}, nil
		}})
	require.NoError(t, err)
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	kittest.Run(t, p.Run)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return server
}

func press(t *testing.T, address string, form url.Values) (status int, body, location string) {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.PostForm(address, form)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(text), response.Header.Get("Location")
}

// The forms work in a browser without a script: each answer is a page, or leads to one.
func TestTheButtonsAreForms(t *testing.T) {
	server := startControlled(t)
	set := func(name, on string) (int, string, string) {
		return press(t, server.URL+"/control/switch", url.Values{"name": {name}, "on": {on}})
	}
	form := func(name, on string) string {
		return `<input type="hidden" name="name" value="` + name + `"><input type="hidden" name="on" value="` + on +
			`"><button id="b-` + name
	}
	for _, name := range []string{"flow", "stock", "inbox"} {
		_, body, _ := get(t, server.URL)
		require.Contains(t, body, form(name, "false"))
		status, _, location := set(name, "false")
		require.Equal(t, http.StatusSeeOther, status)
		require.Equal(t, "/", location)
		_, body, _ = get(t, server.URL)
		require.Contains(t, body, form(name, "true"))
	}
	_, body, _ := get(t, server.URL)
	require.Contains(t, body, "It is a server of yours.")
	require.NotContains(t, body, "b-Kafka", "a button that can do nothing")
	require.Contains(t, body, "Off: There is a second e-mail.")

	status, body, _ := set("gateway", "false")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `<meta http-equiv="refresh"`, "the page does not come back")
	status, body, _ = set("unknown", "true")
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "there is no switch unknown")
	for _, neither := range []string{"", "off"} {
		status, body, _ = set("inbox", neither)
		require.Equal(t, http.StatusBadRequest, status)
		require.Contains(t, body, "on must be true or false")
	}

	status, _, location := press(t, server.URL+"/control/order", nil)
	require.Equal(t, http.StatusSeeOther, status)
	require.Equal(t, "/watch/orders/order-1?wait=1", location)
	status, body, _ = get(t, server.URL+location)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "On its way")
	set("orders", "false")
	status, body, _ = press(t, server.URL+"/control/order", nil)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, "nobody answered")
}

// A row that is red tells why, and which rule is off.
func TestARedRowNamesTheRuleThatIsOff(t *testing.T) {
	server := startControlled(t)
	require.Eventually(t, func() bool {
		_, body, _ := get(t, server.URL)
		return strings.Contains(body, `<tr id="i-e-mails" class="holds">`)
	}, kittest.Patience, kittest.Patience/1000)
	press(t, server.URL+"/control/switch", url.Values{"name": {"inbox"}, "on": {"false"}})
	require.Eventually(t, func() bool {
		_, body, _ := get(t, server.URL)
		return strings.Contains(body, `<tr id="i-e-mails" class="broken">`) &&
			strings.Contains(body, "because the rule “Inbox” is off. There is a second e-mail.") &&
			strings.Contains(body, `href="https://example.org/inbox"`)
	}, kittest.Patience, kittest.Patience/1000)
}
