package customers_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/examples/shop/customers"
	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newService(t *testing.T, db *kit.DB, kafka kit.Kafka) (*customers.Service, http.Handler) {
	t.Helper()
	s, err := customers.New(t.Context(), db, kafka)
	require.NoError(t, err)
	return s, s.Handler()
}

func create(t *testing.T, h http.Handler, name string) customers.Customer {
	t.Helper()
	body := `{"name":"` + name + `","email":"a@example.com"}`
	return customer(t, kittest.Do(h, "POST", "/customers", body), http.StatusCreated)
}

func customer(t *testing.T, w *httptest.ResponseRecorder, status int) (c customers.Customer) {
	t.Helper()
	require.Equal(t, status, w.Code, w.Body.String())
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &c))
	return c
}

func TestEachChangeIsAnEventWithTheWholeState(t *testing.T) {
	kafka := kittest.Kafka(t)
	db := kittest.Open(t, kittest.SQLite(t))
	_, h := newService(t, db, kafka)
	kittest.Relay(t, db, kafka)

	id := create(t, h, "Ada").ID
	customer(t, kittest.Do(h, "PATCH", "/customers/"+id, `{"name":"Ada L."}`), http.StatusOK)
	customer(t, kittest.Do(h, "DELETE", "/customers/"+id, ""), http.StatusOK)

	var types []string
	var states []events.Customer
	for _, e := range kittest.Events(t, kafka, events.Customers, 3) {
		require.Equal(t, id, e.Key)
		var state events.Customer
		e.Into(t, &state)
		types, states = append(types, e.Type), append(states, state)
	}
	require.Equal(t, []string{events.CustomerCreated, events.CustomerChanged, events.CustomerErased}, types)
	require.Equal(t, []events.Customer{
		{ID: id, Name: "Ada", Email: "a@example.com", Version: 1},
		{ID: id, Name: "Ada L.", Email: "a@example.com", Version: 2},
		{ID: id, Version: 3, Deleted: true},
	}, states)
}

func TestARepeatedPostIsTheSameCustomer(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		_, h := newService(t, db, kit.Kafka{})
		body := `{"name":"Ada","email":"a@example.com"}`
		first := customer(t, kittest.Do(h, "POST", "/customers", body, "Idempotency-Key", "k"), http.StatusCreated)
		again := customer(t, kittest.Do(h, "POST", "/customers", body, "Idempotency-Key", "k"), http.StatusCreated)
		require.Equal(t, first, again)
		require.Equal(t, 1, count(t, db, "customers"))
		require.Equal(t, 1, count(t, db, "outbox_events"))
	})
}

func TestOfChangesForTheSameVersionOneWins(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		_, h := newService(t, db, kit.Kafka{})
		id := create(t, h, "Ada").ID
		answers := make(chan *httptest.ResponseRecorder, 4)
		var writers sync.WaitGroup
		for range cap(answers) {
			writers.Go(func() {
				answers <- kittest.Do(h, "PATCH", "/customers/"+id, `{"name":"Grace"}`, "If-Match", `"1"`)
			})
		}
		writers.Wait()
		close(answers)
		var codes []int
		for w := range answers {
			codes = append(codes, w.Code)
			if w.Code == http.StatusConflict {
				require.Contains(t, w.Body.String(), `"current_version":2`)
			}
		}
		const conflict = http.StatusConflict
		require.ElementsMatch(t, []int{http.StatusOK, conflict, conflict, conflict}, codes)
		require.Equal(t, 2, count(t, db, "outbox_events"), "a refused change has no event")
	})
}

func TestAnErasedCustomerIsGone(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		_, h := newService(t, db, kit.Kafka{})
		id := create(t, h, "Ada").ID
		customer(t, kittest.Do(h, "DELETE", "/customers/"+id, ""), http.StatusOK)
		for method, body := range map[string]string{"GET": "", "PATCH": `{"name":"Ada"}`, "DELETE": ""} {
			w := kittest.Do(h, method, "/customers/"+id, body)
			require.Equal(t, http.StatusGone, w.Code, method)
			require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
		}
		var kept string
		require.NoError(t, db.SQL.QueryRow("SELECT name || email FROM customers").Scan(&kept))
		require.Contains(t, []string{"", "0"}, kept, "nothing of the person is left") // MariaDB's || is OR
	})
}

func TestBadRequestsAreRefused(t *testing.T) {
	_, h := newService(t, kittest.Open(t, kittest.SQLite(t)), kit.Kafka{})
	id := create(t, h, "Ada").ID
	for name, tc := range map[string]struct {
		method, path, body string
		status             int
	}{
		"unknown customer": {"GET", "/customers/nobody", "", http.StatusNotFound},
		"no name":          {"POST", "/customers", `{"email":"a@example.com"}`, http.StatusBadRequest},
		"no address":       {"POST", "/customers", `{"name":"Ada","email":"here"}`, http.StatusBadRequest},
		"an empty name":    {"PATCH", "/customers/" + id, `{"name":" "}`, http.StatusBadRequest},
		"too large": {
			"PATCH", "/customers/" + id, `{"name":"` + strings.Repeat("a", kit.MaxBody) + `"}`,
			http.StatusRequestEntityTooLarge,
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tc.status, kittest.Do(h, tc.method, tc.path, tc.body).Code)
		})
	}
	w := kittest.Do(h, "PATCH", "/customers/"+id, `{}`, "If-Match", "new")
	require.Equal(t, http.StatusBadRequest, w.Code)
}

// A name is also in the answer for a repeat of the POST, and in the archive of the events that were delivered.
func TestNothingOfAnErasedCustomerStaysInTheDatabase(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		kafka := kittest.Kafka(t)
		_, h := newService(t, db, kafka)
		body := `{"name":"Zaphod","email":"a@example.com"}`
		c := customer(t, kittest.Do(h, "POST", "/customers", body, "Idempotency-Key", "k"), http.StatusCreated)
		other := create(t, h, "Ford")
		_, err := db.SQL.Exec(`INSERT INTO outbox_archive
			(id, event_id, topic, event_key, event_type, headers, payload, created_at)
			SELECT id, event_id, topic, event_key, event_type, headers, payload, created_at FROM outbox_events`)
		require.NoError(t, err)
		_, err = db.SQL.Exec("DELETE FROM outbox_events")
		require.NoError(t, err)

		customer(t, kittest.Do(h, "DELETE", "/customers/"+c.ID, ""), http.StatusOK)
		for _, statement := range []string{
			"SELECT COUNT(*) FROM customers WHERE name = 'Zaphod'",
			"SELECT COUNT(*) FROM idempotency_keys WHERE answer LIKE '%Zaphod%'",
			"SELECT COUNT(*) FROM outbox_archive WHERE event_key = '" + c.ID + "'",
		} {
			var left int
			require.NoError(t, db.SQL.QueryRow(statement).Scan(&left))
			require.Zero(t, left, statement)
		}
		require.Equal(t, 1, count(t, db, "outbox_archive"), "that of %s", other.ID)
		w := kittest.Do(h, "POST", "/customers", body, "Idempotency-Key", "k")
		require.Equal(t, http.StatusGone, w.Code, "a repeat makes the customer again")
	})
}

// The copy of a service that starts late has all customers, and not those who were erased.
func TestABackfillMakesALateCopyComplete(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		kafka := kittest.Kafka(t)
		s, h := newService(t, db, kafka)
		kept, erased := create(t, h, "Ada"), create(t, h, "Mallory")
		customer(t, kittest.Do(h, "DELETE", "/customers/"+erased.ID, ""), http.StatusOK)
		// The topic has forgotten all that was sent so far.
		_, err := db.SQL.Exec("DELETE FROM outbox_events")
		require.NoError(t, err)

		sent, err := s.Backfill(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 1, sent)

		kittest.Relay(t, db, kafka)
		var state events.Customer
		for _, e := range kittest.Events(t, kafka, events.Customers, 2) { // the customer, and the end of the backfill
			if e.Type == events.CustomerChanged {
				e.Into(t, &state)
			}
		}
		require.Equal(t, events.Customer{ID: kept.ID, Name: "Ada", Email: "a@example.com", Version: 1}, state)
		require.Equal(t, http.StatusOK, kittest.Do(h, "POST", "/backfill", "").Code)
	})
}

func count(t *testing.T, db *kit.DB, table string) (n int) {
	t.Helper()
	require.NoError(t, db.SQL.QueryRow("SELECT COUNT(*) FROM "+table).Scan(&n))
	return n
}
