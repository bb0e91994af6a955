package customers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/inbox/inboxgorm"
)

// Handler answers:
//
//	POST   /customers       {"name", "email"} with Idempotency-Key: a new customer
//	GET    /customers/{id}  the customer, with its version in ETag
//	PATCH  /customers/{id}  {"name"?, "email"?}; with If-Match only if the version is still that one
//	DELETE /customers/{id}  erases name and e-mail address, here and in every copy
//	POST   /backfill        sends all customers again, for a consumer that starts late
func (s *Service) Handler() http.Handler {
	mux := &kit.Mux{}
	mux.HandleFunc("POST /customers", s.db.Idempotent(s.create))
	mux.HandleFunc("GET /customers/{id}", s.get)
	mux.HandleFunc("PATCH /customers/{id}", s.change)
	mux.HandleFunc("DELETE /customers/{id}", s.erase)
	mux.HandleFunc("POST /backfill", func(w http.ResponseWriter, r *http.Request) error {
		sent, err := s.Backfill(r.Context())
		if err != nil {
			return err
		}
		return kit.WriteJSON(w, http.StatusOK, map[string]int64{"sent": sent})
	})
	return mux
}

// fields are what a client may set. nil: it did not say.
type fields struct {
	Name  *string `json:"name"`
	Email *string `json:"email"`
}

// applyTo changes c, and refuses what is not a name or an address.
func (f fields) applyTo(c *Customer) error {
	if f.Name != nil {
		c.Name = strings.TrimSpace(*f.Name)
	}
	if f.Email != nil {
		c.Email = strings.TrimSpace(*f.Email)
	}
	if c.Name == "" || len(c.Name) > 200 {
		return kit.BadRequest("name must have 1 to 200 bytes")
	}
	if !strings.Contains(c.Email, "@") || len(c.Email) > 320 {
		return kit.BadRequest("email must be an e-mail address of at most 320 bytes")
	}
	return nil
}

func (s *Service) create(ctx context.Context, tx *sql.Tx, r *http.Request) (int, any, error) {
	var f fields
	if err := kit.ReadJSON(r, &f); err != nil {
		return 0, nil, err
	}
	c := Customer{ID: uuid.NewString(), Version: 1}
	if err := f.applyTo(&c); err != nil {
		return 0, nil, err
	}
	// The idempotency key has begun a transaction: the customer and the event are written in the same one.
	db, err := inboxgorm.Session(ctx, s.db.Gorm, tx)
	if err != nil {
		return 0, nil, err
	}
	if err := db.Create(&c).Error; err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, c, s.announce(ctx, db, events.CustomerCreated, c)
}

func (s *Service) get(w http.ResponseWriter, r *http.Request) error {
	c, err := find(s.db.Gorm.WithContext(r.Context()), r.PathValue("id"))
	if err != nil {
		return err
	}
	kit.SetVersion(w, c.Version)
	return kit.WriteJSON(w, http.StatusOK, c)
}

func (s *Service) change(w http.ResponseWriter, r *http.Request) error {
	var f fields
	if err := kit.ReadJSON(r, &f); err != nil {
		return err
	}
	return s.update(w, r, events.CustomerChanged, func(_ *gorm.DB, c *Customer) error { return f.applyTo(c) })
}

// erase empties the row and says so. The copies delete their rows, and keep the version: an older event that comes late
// does not bring the customer back.
func (s *Service) erase(w http.ResponseWriter, r *http.Request) error {
	return s.update(w, r, events.CustomerErased, func(tx *gorm.DB, c *Customer) error {
		now := time.Now().UTC()
		c.Name, c.Email, c.ErasedAt = "", "", &now
		// The name is also in the answer that is kept for a repeat of the POST, and in events that were delivered.
		statement, args := kit.ForgetAnswers(c.ID)
		return errors.Join(
			tx.Exec(statement, args...).Error,
			tx.Exec("DELETE FROM outbox_archive WHERE topic = ? AND event_key = ?",
				s.kafka.Topic(events.Customers), c.ID).Error,
		)
	})
}

// update changes a customer and writes the event, in one transaction.
func (s *Service) update(
	w http.ResponseWriter, r *http.Request, eventType string, change func(*gorm.DB, *Customer) error,
) error {
	expected, err := kit.ExpectedVersion(r)
	if err != nil {
		return err
	}
	var c Customer
	err = s.db.Gorm.WithContext(r.Context()).Transaction(func(tx *gorm.DB) error {
		// The lock makes two changes of one customer wait for each other, and so their events come in the same order.
		c, err = find(tx.Clauses(clause.Locking{Strength: clause.LockingStrengthUpdate}), r.PathValue("id"))
		if err != nil {
			return err
		}
		if expected != 0 && expected != c.Version {
			return kit.Conflict(fmt.Sprintf("the customer is at version %d", c.Version), c.Version)
		}
		if err := change(tx, &c); err != nil {
			return err
		}
		c.Version++
		if err := tx.Save(&c).Error; err != nil {
			return err
		}
		return s.announce(r.Context(), tx, eventType, c)
	})
	if err != nil {
		return err
	}
	if s.naive(eventType) {
		s.send(r.Context(), eventType, c)
	}
	kit.SetVersion(w, c.Version)
	return kit.WriteJSON(w, http.StatusOK, c)
}

func find(tx *gorm.DB, id string) (c Customer, err error) {
	err = tx.Where("id = ?", id).Take(&c).Error
	switch {
	case errors.Is(err, gorm.ErrRecordNotFound):
		return c, kit.NotFound("there is no customer " + id)
	case err == nil && c.ErasedAt != nil:
		return c, kit.Gone("customer " + id + " was erased")
	}
	return c, err
}
