package orders

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/ThreeDotsLabs/watermill/components/cqrs"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/orders/eventstore"
	"github.com/postroom/postroom/examples/shop/orders/order"
	"github.com/postroom/postroom/examples/shop/orders/saga"
	"github.com/postroom/postroom/examples/shop/orders/shards"
	"github.com/postroom/postroom/examples/shop/orders/view"
	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/outbox/outboxwatermill"
)

// Handler answers:
//
//	POST  /orders               {"customer", "items": [{"sku", "quantity"}], "flow"} with Idempotency-Key:
//	                            202, and in Location where the order will be
//	GET   /orders               the list of all, with ?customer, ?status and ?after, an order id; ?status=stuck
//	                            are those that somebody has to look at, each with its reason
//	GET   /orders/{id}          the order, with its version as ETag
//	PATCH /orders/{id}          {"note", "expected_version"}, or the version in If-Match: changes the note
//	POST  /orders/{id}/cancel   {"expected_version"}: the customer's wish; money and goods go back
//	POST  /orders/{id}/repair   {"expected_version"}: lets a stuck order go on
//	GET   /shards               how many customers and orders each shard has
//	POST  /shards/moves         moves customers to added shards: how many have moved, who has not, and why
//	POST  /view/rebuild         begins to build the list of all orders anew, beside the live one
//	GET   /view                 which list is live, and which are being built
func (s *Service) Handler() http.Handler {
	mux := &kit.Mux{}
	mux.HandleFunc("POST /orders", s.post)
	mux.HandleFunc("GET /orders", s.list)
	mux.HandleFunc("GET /orders/{id}", s.get)
	mux.HandleFunc("PATCH /orders/{id}", s.patch)
	mux.HandleFunc("POST /orders/{id}/cancel", s.decision(events.TypeOrderCancelRequested, order.RequestCancel))
	mux.HandleFunc("POST /orders/{id}/repair", s.decision(events.TypeOrderRepaired, order.Repair))
	mux.HandleFunc("GET /shards", s.getShards)
	mux.HandleFunc("POST /shards/moves", s.moveCustomers)
	mux.HandleFunc("POST /view/rebuild", s.rebuildView)
	mux.HandleFunc("GET /view", s.getView)
	return mux
}

// CentsPerPiece is what every article costs. A real shop would ask its catalogue.
const CentsPerPiece = 100

// orderIDs is the namespace of the orders' ids.
var orderIDs = uuid.MustParse("8f2a3f0e-6a4b-4d5e-9a51-3c1f0b6a7d21")

type newOrder struct {
	Customer string        `json:"customer"`
	Items    []events.Item `json:"items"`
	Flow     events.Flow   `json:"flow"`
}

func (n *newOrder) check() error {
	if n.Flow == "" {
		n.Flow = events.Orchestrated
	}
	if n.Flow != events.Orchestrated && n.Flow != events.Choreographed {
		return kit.BadRequest("flow must be orchestrated or choreographed")
	}
	if !kit.ValidID(n.Customer) {
		return kit.BadRequest("customer must be the customer's id, a UUID")
	}
	if len(n.Items) < 1 || len(n.Items) > 100 {
		return kit.BadRequest("items must be 1 to 100")
	}
	for _, item := range n.Items {
		if !kit.ValidSKU(item.SKU) || item.Quantity < 1 || item.Quantity > 1000 {
			return kit.BadRequest("an item must have a sku of 1 to 64 of A-Z a-z 0-9 . _ - and a quantity of 1 to 1000")
		}
	}
	return nil
}

// post accepts an order. It does not place it: it writes a command to the outbox, which placeOrder gets. So a request
// costs one short transaction, whatever placing an order comes to; and a command that was accepted is not lost.
func (s *Service) post(w http.ResponseWriter, r *http.Request) error {
	var body json.RawMessage // read twice: for the customer, and for the idempotency key
	var wanted newOrder
	err := kit.ReadJSON(r, &body)
	if err == nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
		err = kit.ReadJSON(r, &wanted)
	}
	if err == nil {
		err = wanted.check()
	}
	if err != nil {
		return err
	}
	key := r.Header.Get("Idempotency-Key")
	id := uuid.NewSHA1(orderIDs, []byte(wanted.Customer+"\x00"+key)).String()
	if key != "" {
		// Two customers may have the same key. A repeat makes the same id in every shard, so that it is harmless also
		// after a move, where the new shard does not know the key.
		r.Header.Set("Idempotency-Key", id)
	}
	return s.atHomeOf(w, r, wanted.Customer, func(at *shard) error {
		r.Body = io.NopCloser(bytes.NewReader(body))
		w.Header().Set("Location", "/orders/"+id)
		err := at.db.Idempotent(func(ctx context.Context, tx *sql.Tx, _ *http.Request) (int, any, error) {
			return at.accept(ctx, tx, id, wanted)
		})(w, r)
		if err != nil {
			w.Header().Del("Location")
		}
		return err
	})
}

// Accepted is the answer to a POST.
type Accepted struct {
	events.Of
	Status string `json:"status"`
}

func (s *shard) accept(ctx context.Context, tx *sql.Tx, id string, wanted newOrder) (int, any, error) {
	if err := shards.Enter(ctx, s.db, tx, wanted.Customer, shards.Request); err != nil {
		return 0, nil, err
	}
	_, known, err := s.customer(ctx, tx, wanted.Customer)
	if err != nil {
		return 0, nil, err
	}
	if !known {
		return 0, nil, &kit.Problem{
			Status: http.StatusUnprocessableEntity, Type: "/problems/unknown-customer", Title: "Unknown customer",
			Detail: "customer " + wanted.Customer + " is not known, or was erased",
		}
	}
	command := PlaceOrder{
		Of: events.Of{OrderID: id, Customer: wanted.Customer}, Flow: wanted.Flow, Items: wanted.Items,
	}
	for _, item := range wanted.Items {
		command.Cents += item.Quantity * CentsPerPiece
	}
	return http.StatusAccepted, Accepted{Of: command.Of, Status: "accepted"}, s.send(ctx, tx, command)
}

// send gives a command to Watermill's command bus, whose publisher is the outbox in this transaction.
func (s *shard) send(ctx context.Context, tx *sql.Tx, command PlaceOrder) error {
	publisher := outboxwatermill.NewPublisher(s.outbox, tx,
		outboxwatermill.WithKey(func(string, *message.Message) string { return command.OrderID }))
	bus, err := cqrs.NewCommandBusWithConfig(publisher, cqrs.CommandBusConfig{
		GeneratePublishTopic: func(cqrs.CommandBusGeneratePublishTopicParams) (string, error) {
			return s.commandsTopic, nil
		},
		Marshaler: marshaler,
	})
	if err != nil {
		return err
	}
	return bus.Send(ctx, command)
}

func (s *Service) get(w http.ResponseWriter, r *http.Request) error {
	o, err := s.find(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	kit.SetVersion(w, o.Version)
	return kit.WriteJSON(w, http.StatusOK, o)
}

// page is how many orders a list has at most.
const page = 100

func (s *Service) list(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	for _, name := range []string{"customer", "after"} {
		if id := query.Get(name); id != "" && !kit.ValidID(id) {
			return kit.BadRequest(name + " must be an id, a UUID")
		}
	}
	filter := view.Filter{Customer: query.Get("customer"), Status: query.Get("status")}
	if filter.Status != "" && !slices.Contains(order.Statuses(), order.Status(filter.Status)) {
		return kit.BadRequest(fmt.Sprintf("status must be one of %s", order.Statuses()))
	}
	list, err := s.view.List(r.Context(), filter, query.Get("after"), page)
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, list)
}

// find looks for an order in all shards, because an id does not tell the customer. The old shards come first: an order
// that moves meanwhile is in the new one before it leaves the old one.
func (s *Service) find(ctx context.Context, id string) (order.Order, error) {
	if !kit.ValidID(id) {
		return order.Order{}, kit.NotFound("there is no order " + id)
	}
	var failed error
	for _, one := range s.cluster.All {
		at := s.shards[one.Name]
		switch o, err := at.orders.Load(ctx, at.db.SQL, id); {
		case err != nil:
			failed = at.problemOf(ctx, err) // another shard may have the order
		case o.Version > 0:
			return o, nil
		}
	}
	if failed != nil {
		return order.Order{}, failed
	}
	return order.Order{}, kit.NotFound("there is no order " + id)
}

// change is what a request says about the version that it was made for.
type change struct {
	ExpectedVersion int64  `json:"expected_version"`
	Note            string `json:"note"`
}

func (s *Service) patch(w http.ResponseWriter, r *http.Request) error {
	return s.change(w, r, "", func(c change) order.Decision {
		return func(o order.Order) ([]eventstore.Event, error) { return order.Change(o, c.Note) }
	})
}

func (s *Service) decision(kind string, decide order.Decision) kit.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		return s.change(w, r, kind, func(change) order.Decision { return decide })
	}
}

// change changes an order while the client waits, because the client wants to know whether the order took it. kind is
// what the saga hears, if anything.
func (s *Service) change(
	w http.ResponseWriter, r *http.Request, kind string, decision func(change) order.Decision,
) error {
	var c change
	if err := kit.ReadJSON(r, &c); err != nil {
		return err
	}
	version, err := kit.ExpectedVersion(r)
	if err != nil {
		return err
	}
	if c.ExpectedVersion == 0 {
		c.ExpectedVersion = version
	}
	if len(c.Note) > 1000 {
		return kit.BadRequest("note must have at most 1000 bytes")
	}
	found, err := s.find(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return s.atHomeOf(w, r, found.Customer, func(at *shard) error {
		var after order.Order
		err := at.db.Tx(r.Context(), func(tx *sql.Tx) (err error) {
			after, err = at.decide(r.Context(), tx, found.Of, c.ExpectedVersion, kind, decision(c))
			return err
		})
		if err != nil {
			return problemOf(err)
		}
		kit.SetVersion(w, after.Version)
		return kit.WriteJSON(w, http.StatusOK, after)
	})
}

func (s *shard) decide(
	ctx context.Context, tx *sql.Tx, of events.Of, expected int64, kind string, decide order.Decision,
) (order.Order, error) {
	if err := shards.Enter(ctx, s.db, tx, of.Customer, shards.Request); err != nil {
		return order.Order{}, err
	}
	after, err := s.orders.Change(ctx, tx, of.OrderID, expected, inbox.Message{}, decide)
	if err != nil || kind == "" {
		return after, err
	}
	return after, s.saga.Handle(ctx, tx, saga.Message{Of: of, Type: kind})
}

// problemOf is what a client gets to see. A version conflict can be tried again with the current version. A command
// that the order's status does not allow cannot, so it has a type of its own.
func problemOf(err error) error {
	var conflict *eventstore.ConflictError
	var refused *order.RefusedError
	switch {
	case errors.As(err, &conflict):
		return kit.Conflict(conflict.Error(), conflict.Current)
	case errors.As(err, &refused):
		return &kit.Problem{
			Status: http.StatusConflict, Type: "/problems/cannot-" + refused.Command,
			Title: "The order's status does not allow this", Detail: refused.Error(),
		}
	}
	return err
}

// atHomeOf runs f in the shard of a customer. If the customer moves meanwhile, f runs in the new one.
func (s *Service) atHomeOf(w http.ResponseWriter, r *http.Request, customer string, f func(at *shard) error) error {
	for range 2 { // a customer moves once
		home, err := s.cluster.Home(r.Context(), customer)
		if err == nil {
			err = f(s.shards[home.Name])
		}
		switch {
		case errors.Is(err, shards.ErrMoved):
			continue
		case err != nil && !errors.Is(err, shards.ErrDraining):
			return s.shards[home.Name].problemOf(r.Context(), err)
		case err == nil:
			return nil
		}
		break
	}
	w.Header().Set("Retry-After", "1")
	return &kit.Problem{
		Status: http.StatusServiceUnavailable, Type: "/problems/moving", Title: "The customer moves",
		Detail: fmt.Sprintf("the orders of customer %s move to another database; try again in a second", customer),
	}
}
