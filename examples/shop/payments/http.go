package payments

import (
	"context"
	"database/sql"
	"errors"
	"net/http"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/inbox/inboxgorm"
)

// Handler answers:
//
//	POST  /accounts/{customer}/deposits  {"cents"} with Idempotency-Key: money comes in
//	GET   /accounts/{customer}           the balance
//	PATCH /accounts/{customer}           {"closed"}: closes or opens the account
//	GET   /payments/{order_id}           what an order has paid
//	PUT   /refuse-all                    {"refuse"}: refuse every payment, or no longer; for the demonstration
func (s *Service) Handler() http.Handler {
	mux := &kit.Mux{}
	mux.HandleFunc("POST /accounts/{customer}/deposits", s.db.Idempotent(s.deposit))
	mux.HandleFunc("GET /accounts/{customer}", s.getAccount)
	mux.HandleFunc("PATCH /accounts/{customer}", s.changeAccount)
	mux.HandleFunc("GET /payments/{order_id}", s.getPayment)
	mux.HandleFunc("PUT /refuse-all", s.refuseAll)
	return mux
}

// maxDeposit keeps sums far below what a BIGINT holds.
const maxDeposit = 1_000_000_000_000

func (s *Service) deposit(ctx context.Context, tx *sql.Tx, r *http.Request) (int, any, error) {
	var body struct {
		Cents int64 `json:"cents"`
	}
	if err := kit.ReadJSON(r, &body); err != nil {
		return 0, nil, err
	}
	a := Account{Customer: r.PathValue("customer")}
	if body.Cents < 1 || body.Cents > maxDeposit || !kit.ValidID(a.Customer) {
		return 0, nil, kit.BadRequest("cents must be 1 to 1000000000000, and the customer's id a UUID")
	}
	// The idempotency key has begun a transaction: the money comes in in the same one.
	db, err := inboxgorm.Session(ctx, s.db.Gorm, tx)
	if err != nil {
		return 0, nil, err
	}
	if err := db.Clauses(clause.OnConflict{DoNothing: true}).Create(&a).Error; err != nil {
		return 0, nil, err
	}
	if err := db.Model(&a).Updates(map[string]any{
		"balance_cents":   gorm.Expr("balance_cents + ?", body.Cents),
		"deposited_cents": gorm.Expr("deposited_cents + ?", body.Cents),
	}).Error; err != nil {
		return 0, nil, err
	}
	a, err = findAccount(db, a.Customer)
	return http.StatusCreated, a, err
}

func (s *Service) getAccount(w http.ResponseWriter, r *http.Request) error {
	a, err := findAccount(s.db.Gorm.WithContext(r.Context()), r.PathValue("customer"))
	if err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, a)
}

func (s *Service) changeAccount(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Closed *bool `json:"closed"` // nil: the client did not say
	}
	if err := kit.ReadJSON(r, &body); err != nil {
		return err
	}
	if body.Closed == nil {
		return kit.BadRequest("closed must be true or false")
	}
	db := s.db.Gorm.WithContext(r.Context())
	a, err := findAccount(db, r.PathValue("customer"))
	if err != nil {
		return err
	}
	// Only the column changes: a Save of the whole row would write back an old balance.
	if err := db.Model(&a).Update("closed", *body.Closed).Error; err != nil {
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, a)
}

func (s *Service) getPayment(w http.ResponseWriter, r *http.Request) error {
	var p Payment
	id := r.PathValue("order_id")
	if !kit.ValidID(id) {
		return kit.NotFound("there is no payment for order " + id)
	}
	err := s.db.Gorm.WithContext(r.Context()).Where("order_id = ?", id).Take(&p).Error
	switch {
	case errors.Is(err, gorm.ErrRecordNotFound):
		return kit.NotFound("there is no payment for order " + id)
	case err != nil:
		return err
	}
	return kit.WriteJSON(w, http.StatusOK, p)
}

func (s *Service) refuseAll(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Refuse *bool `json:"refuse"`
	}
	if err := kit.ReadJSON(r, &body); err != nil {
		return err
	}
	if body.Refuse == nil {
		return kit.BadRequest("refuse must be true or false")
	}
	s.RefuseAll.Store(*body.Refuse)
	return kit.WriteJSON(w, http.StatusOK, body)
}

func findAccount(db *gorm.DB, customer string) (a Account, err error) {
	if !kit.ValidID(customer) {
		return a, kit.NotFound("customer " + customer + " has no account")
	}
	err = db.Where("customer = ?", customer).Take(&a).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		err = kit.NotFound("customer " + customer + " has no account")
	}
	return a, err
}
