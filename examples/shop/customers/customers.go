// Package customers owns the customers of the shop: names and e-mail addresses, in a database that no other service can
// open. The others learn of a customer by the events on the topic customers, and keep a copy of what they need.
//
// It uses gorm. A change and its event are one transaction, so that a copy never misses a change and never has one that
// was rolled back.
package customers

import (
	"context"
	"sync/atomic"
	"time"

	"gorm.io/gorm"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/rules"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/outbox/outboxgorm"
)

// Customer is a row of the table customers. Version grows with each change; the copies need it to tell an old event
// from a new one.
//
// The row of an erased customer stays, without name and e-mail address: it says that the id was used, and its version
// is above all others.
type Customer struct {
	ID       string     `gorm:"primaryKey;size:36"   json:"id"`
	Name     string     `gorm:"size:200;not null"    json:"name"`
	Email    string     `gorm:"size:320;not null"    json:"email"`
	Version  int64      `gorm:"not null"             json:"version"`
	ErasedAt *time.Time `json:"erased_at,omitempty"`
}

// Service is the customers service. Make it with New.
type Service struct {
	db     *kit.DB
	outbox *outbox.Outbox
	kafka  kit.Kafka

	// Rules are the switches of the demonstration. Set it before Handler is called; nil: all rules are followed.
	Rules *rules.Switches
	sent  atomic.Int64 // in the naive way
}

// New makes the service's tables in its database, and returns the service.
func New(ctx context.Context, db *kit.DB, kafka kit.Kafka) (*Service, error) {
	if err := db.Gorm.WithContext(ctx).AutoMigrate(&Customer{}); err != nil {
		return nil, err
	}
	if err := db.Exec(ctx, kit.IdempotencyTable); err != nil {
		return nil, err
	}
	ob, err := outbox.New(db.Dialect)
	if err != nil {
		return nil, err
	}
	return &Service{db: db, outbox: ob, kafka: kafka}, nil
}

// announce writes an event with the whole state of a customer, in the transaction that changed the row.
func (s *Service) announce(ctx context.Context, tx *gorm.DB, eventType string, c Customer) error {
	if s.naive(eventType) {
		return nil // update sends the event after the commit
	}
	event, err := s.event(eventType, c)
	if err != nil {
		return err
	}
	return outboxgorm.Add(ctx, s.outbox, tx, event)
}

func (s *Service) event(eventType string, c Customer) (outbox.Event, error) {
	return s.kafka.Event(events.Customers, c.ID, eventType, events.Customer{
		ID: c.ID, Name: c.Name, Email: c.Email, Version: c.Version, Deleted: c.ErasedAt != nil,
	})
}
