package stock

import (
	"context"
	"database/sql"
	"errors"
	"net/http"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
)

// Item is an article as clients see it.
type Item struct {
	SKU       string `json:"sku"`
	Available int64  `json:"available"`
	Reserved  int64  `json:"reserved"`
	Delivered int64  `json:"delivered"`
}

// Reservation is what is set aside for an order.
type Reservation struct {
	OrderID string        `json:"order_id"`
	State   string        `json:"state"`
	Items   []events.Item `json:"items"`
}

// Handler answers:
//
//	POST /items/{sku}/deliveries   {"quantity"} with Idempotency-Key: articles come in
//	GET  /items/{sku}              how many there are
//	GET  /reservations/{order_id}  what is set aside for an order
func (s *Service) Handler() http.Handler {
	mux := &kit.Mux{}
	mux.HandleFunc("POST /items/{sku}/deliveries", s.db.Idempotent(s.deliver))
	mux.HandleFunc("GET /items/{sku}", s.getItem)
	mux.HandleFunc("GET /reservations/{order_id}", s.getReservation)
	return mux
}

// maxDelivery keeps sums far below what a BIGINT holds.
const maxDelivery = 1_000_000_000

func (s *Service) deliver(ctx context.Context, tx *sql.Tx, r *http.Request) (int, any, error) {
	var body struct {
		Quantity int64 `json:"quantity"`
	}
	if err := kit.ReadJSON(r, &body); err != nil {
		return 0, nil, err
	}
	sku := r.PathValue("sku")
	if body.Quantity < 1 || body.Quantity > maxDelivery {
		return 0, nil, kit.BadRequest("quantity must be 1 to 1000000000")
	}
	if !kit.ValidSKU(sku) {
		return 0, nil, kit.BadRequest("the sku must have 1 to 64 of these: A-Z a-z 0-9 . _ -")
	}
	if _, err := s.db.InsertNew(ctx, tx, "items", []string{"sku", "available", "reserved", "delivered"},
		sku, 0, 0, 0); err != nil {
		return 0, nil, err
	}
	if _, err := tx.ExecContext(ctx, s.db.Bind(
		"UPDATE items SET available = available + ?, delivered = delivered + ? WHERE sku = ?"),
		body.Quantity, body.Quantity, sku); err != nil {
		return 0, nil, err
	}
	item, err := scanItem(tx.QueryRowContext(ctx, s.db.Bind(selectItem), sku), sku)
	return http.StatusCreated, item, err
}

const selectItem = "SELECT sku, available, reserved, delivered FROM items WHERE sku = ?"

func scanItem(row *sql.Row, sku string) (i Item, err error) {
	err = row.Scan(&i.SKU, &i.Available, &i.Reserved, &i.Delivered)
	if errors.Is(err, sql.ErrNoRows) {
		err = kit.NotFound("there is no article " + sku)
	}
	return i, err
}

func (s *Service) getItem(w http.ResponseWriter, r *http.Request) error {
	sku := r.PathValue("sku")
	if !kit.ValidSKU(sku) {
		return kit.NotFound("there is no article " + sku)
	}
	item, err := scanItem(s.db.SQL.QueryRowContext(r.Context(), s.db.Bind(selectItem), sku), sku)
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, item)
}

func (s *Service) getReservation(w http.ResponseWriter, r *http.Request) error {
	answer := Reservation{OrderID: r.PathValue("order_id"), Items: []events.Item{}}
	if !kit.ValidID(answer.OrderID) {
		return kit.NotFound("there is no reservation for order " + answer.OrderID)
	}
	err := s.db.SQL.QueryRowContext(r.Context(), s.db.Bind(
		"SELECT state FROM reservations WHERE order_id = ?"), answer.OrderID).Scan(&answer.State)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return kit.NotFound("there is no reservation for order " + answer.OrderID)
	case err != nil:
		return err
	}
	items, err := s.items(r.Context(), s.db.SQL, answer.OrderID)
	if err != nil {
		return err
	}
	answer.Items = append(answer.Items, items...)
	return kit.WriteJSON(w, http.StatusOK, answer)
}
