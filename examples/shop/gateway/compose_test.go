package gateway

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/gateway/view"
)

// fakeServices answer by the host of the address. A service that is not here is dead in the worst way: it takes the
// request and never answers.
type fakeServices map[string]http.HandlerFunc

func (f fakeServices) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, alive := f[r.URL.Host]
	if !alive {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	w := httptest.NewRecorder()
	answer(w, r)
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	return w.Result(), nil
}

// says answers after up to a time.
func says(body string, upTo time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if upTo > 0 {
			select {
			case <-time.After(rand.N(upTo)):
			case <-r.Context().Done():
			}
		}
		_, _ = io.WriteString(w, body)
	}
}

var addresses = Services{
	Orders: "http://orders", Stock: "http://stock", Payments: "http://payments", Customers: "http://customers",
}

const orderBody = `{"order_id":"o","customer":"ada","version":3,"flow":"orchestrated","items":null,"cents":5,
	"status":"placed"}`

func newComposer(f fakeServices) composer {
	return composer{services: addresses, client: &http.Client{Transport: f}, deadline: 500 * time.Millisecond}
}

// The clock of this test is synctest's: it runs when everybody waits, so that the figures are those of the deadline
// and not those of the machine.
func TestADeadServiceCostsNoMoreThanTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := 400 * time.Millisecond
		c := newComposer(fakeServices{
			"orders":    says(orderBody, slow),
			"stock":     says(`{"state":"reserved"}`, 2*slow), // some are late
			"customers": says(`{"name":"Ada","version":1}`, slow/8),
		})
		var took []time.Duration
		late := 0
		for range 1000 {
			began := time.Now()
			a, err := c.order(t.Context(), "o", nil)
			took = append(took, time.Since(began))
			require.NoError(t, err)
			require.True(t, a.Partial)
			require.Contains(t, a.Missing, Missing{"payments", "no answer in time"})
			require.Equal(t, "placed", a.Status)
			require.Nil(t, a.Payment)
			if a.Stock == nil {
				late++
				require.Contains(t, a.Missing, Missing{"stock", "no answer in time"})
			}
		}
		slices.Sort(took)
		require.LessOrEqual(t, took[990], c.deadline, "p99")
		require.Equal(t, c.deadline, took[999], "a dead service is waited for until the deadline")
		require.Positive(t, late)
		require.Less(t, late, 1000)
	})
}

func TestAPartialAnswerSaysWhatIsMissingAndWhy(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	all := fakeServices{
		"orders": says(orderBody, 0), "stock": says(`{"state":"reserved"}`, 0),
		"payments": says(`{"state":"taken","cents":5}`, 0), "customers": says(`{"name":"Ada","version":1}`, 0),
	}
	with := func(service string, answer http.HandlerFunc) fakeServices {
		changed := fakeServices{service: answer}
		for name, other := range all {
			if name != service {
				changed[name] = other
			}
		}
		return changed
	}
	known := view.Order{
		Of: events.Of{OrderID: "o", Customer: "ada"}, Version: 2, Status: "placed", Stock: &view.Stock{State: "short"},
	}
	for name, tc := range map[string]struct {
		services fakeServices
		known    *view.Order
		missing  []Missing
		version  int64
	}{
		"all answer":                  {all, nil, nil, 3},
		"nothing about the order yet": {with("payments", status(404)), nil, nil, 3},
		"an erased customer":          {with("customers", status(410)), nil, nil, 3},
		"a service fails":             {with("stock", status(500)), &known, []Missing{{"stock", "status 500"}}, 3},
		"no JSON": {
			with("stock", says("<html>", 0)), nil, []Missing{{"stock", "not reachable"}}, 3,
		},
		"orders fails, the model knows": {
			with("orders", status(503)), &known, []Missing{{"orders", "status 503"}}, 2,
		},
		"orders fails, nobody knows": {with("orders", status(503)), nil, []Missing{
			{"orders", "status 503"}, {"customers", "not reachable"},
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := newComposer(tc.services)
			a, err := c.order(t.Context(), "o", tc.known)
			require.NoError(t, err)
			require.Equal(t, tc.missing, a.Missing)
			require.Equal(t, tc.missing != nil, a.Partial)
			require.Equal(t, tc.version, a.Version)
			require.Equal(t, "o", a.OrderID)
		})
	}
	c := newComposer(with("orders", status(404)))
	_, err := c.order(t.Context(), "o", nil)
	require.ErrorContains(t, err, "there is no order o")
	c = newComposer(fakeServices{"orders": status(500), "stock": status(404), "payments": status(500)})
	_, err = c.order(t.Context(), "o", nil)
	require.ErrorContains(t, err, "Unavailable")
}

func TestAReasonTellsNoAddress(t *testing.T) {
	for _, err := range []error{fmt.Errorf("dial tcp 10.0.0.7:5432: refused"), statusError(500)} {
		require.False(t, strings.Contains(reason(err), "10.0.0.7"))
	}
}
