package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/postroom/postroom/examples/shop/gateway/view"
	"github.com/postroom/postroom/examples/shop/kit"
)

// Answer is what a client gets about an order. A partial one says which parts are missing, and why; what it has of
// those parts is what was known last, or nothing.
type Answer struct {
	view.Order
	Partial bool      `json:"partial,omitempty"`
	Missing []Missing `json:"missing,omitempty"`
}

// Missing is a part that its service did not give.
type Missing struct {
	Part   string `json:"part"` // the name of the service
	Reason string `json:"reason"`
}

// composer makes an answer by asking the services, where the read model does not have it yet.
type composer struct {
	services Services
	client   *http.Client
	deadline time.Duration // of all calls together
}

// maxAnswer limits what the gateway reads of a service's answer.
const maxAnswer = 1 << 20

// order asks the services about an order, in parallel. known is what the read model has, or nil. If the services that
// answer do not know the order, the error is a problem.
func (c *composer) order(ctx context.Context, id string, known *view.Order) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.deadline)
	defer cancel()
	var order view.Order
	var stock view.Stock
	var payment view.Payment
	var ofOrders, ofStock, ofPayments error
	var calls sync.WaitGroup
	path := url.PathEscape(id)
	calls.Go(func() { ofOrders = c.get(ctx, c.services.Orders+"/orders/"+path, &order) })
	calls.Go(func() { ofStock = c.get(ctx, c.services.Stock+"/reservations/"+path, &stock) })
	calls.Go(func() { ofPayments = c.get(ctx, c.services.Payments+"/payments/"+path, &payment) })
	calls.Wait()

	var a Answer
	if known != nil {
		a.Order = *known
	}
	switch {
	case errors.Is(ofOrders, errNone):
		return a, kit.NotFound("there is no order " + id)
	case ofOrders == nil:
		order.Stock, order.Payment, order.Customer = a.Stock, a.Payment, a.Customer
		a.Order = order
	case known == nil && ofStock != nil && ofPayments != nil:
		return a, &kit.Problem{
			Status: http.StatusServiceUnavailable, Type: "/problems/unavailable", Title: "Unavailable",
			Detail: "The service that knows the order does not answer: " + reason(ofOrders),
		}
	}
	a.lacks("orders", ofOrders)
	if a.OrderID == "" {
		a.OrderID = id
	}
	if ofStock == nil {
		a.Stock = &stock
	}
	a.lacks("stock", ofStock)
	if ofPayments == nil {
		a.Payment = &payment
	}
	a.lacks("payments", ofPayments)
	c.addCustomer(ctx, &a)
	return a, nil
}

// addCustomer asks for the customer. Who that is was in the answer of orders: this call cannot run beside the others.
func (c *composer) addCustomer(ctx context.Context, a *Answer) {
	id := a.Of.Customer
	if id == "" {
		a.lacks("customers", errors.New("the customer of the order is not known"))
		return
	}
	var customer view.Customer
	err := c.get(ctx, c.services.Customers+"/customers/"+url.PathEscape(id), &customer)
	switch {
	case errors.Is(err, errGone):
		a.Order.Customer = &view.Customer{Erased: true}
	case err == nil:
		a.Order.Customer = &customer
	default:
		a.lacks("customers", err)
	}
}

// lacks notes a part that a service did not give. A service that has nothing about the order did answer.
func (a *Answer) lacks(part string, err error) {
	if err == nil || errors.Is(err, errNone) {
		return
	}
	a.Partial = true
	a.Missing = append(a.Missing, Missing{Part: part, Reason: reason(err)})
}

var (
	errNone = errors.New("the service does not know it")
	errGone = errors.New("the service has erased it")
)

// statusError is an answer that is neither a success nor about what was asked for.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("status %d", int(e)) }

// reason is what a client may know of an error: no addresses, no names of hosts.
func reason(err error) string {
	var status statusError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.As(err, &status):
		return status.Error()
	}
	return "not reachable"
}

// get reads a JSON answer into v.
func (c *composer) get(ctx context.Context, address string, v any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	if id, ok := ctx.Value(requestIDKey{}).(string); ok {
		request.Header.Set(requestIDHeader, id)
	}
	response, err := c.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return errNone
	case http.StatusGone:
		return errGone
	default:
		return statusError(response.StatusCode)
	}
	return json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(v)
}
