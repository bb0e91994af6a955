// Package payments owns the customers' accounts and what orders have paid, in a database that no other service can
// open. It uses gorm.
//
// An order led by a saga (orchestrated) sends commands. In a choreographed order payments acts by itself: it takes the
// money when the stock is reserved, and gives it back when the stock is released. Both ways call the same two
// functions, take and refund, which are repeatable: the same order again moves no money and gets the same answer.
//
// What holds at all times: the balances + what orders have paid = what was deposited.
package payments

import (
	"context"
	"database/sql"
	"log/slog"
	"sync/atomic"

	"gorm.io/gorm"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxgorm"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/outbox"
)

// Account is a customer's money. The CHECK is the last line of defence: a mistake in the code fails its transaction
// instead of spending what is not there.
type Account struct {
	Customer       string `gorm:"primaryKey;size:36"                        json:"customer"`
	BalanceCents   int64  `gorm:"not null;check:balance,balance_cents >= 0" json:"balance_cents"`
	DepositedCents int64  `gorm:"not null"                                  json:"deposited_cents"` // all that came in
	Closed         bool   `gorm:"not null"                                  json:"closed"`          // no money may move
}

// Payment is what an order has to do with money.
type Payment struct {
	OrderID  string      `gorm:"primaryKey;size:36" json:"order_id"`
	Customer string      `gorm:"size:36;not null"   json:"customer"`
	Flow     events.Flow `gorm:"size:20;not null"   json:"-"`
	Cents    int64       `gorm:"not null"           json:"cents"`
	State    string      `gorm:"size:20;not null"   json:"state"`
	Reason   string      `gorm:"size:100;not null"  json:"reason,omitempty"` // of a refusal
}

// Service is the payments service. Make it with New.
type Service struct {
	db       *kit.DB
	outbox   *outbox.Outbox
	kafka    kit.Kafka
	consumer *inboxkafka.Consumer

	// RefuseAll makes the service refuse every payment, for the demonstration. It may be shared with who switches it.
	RefuseAll *atomic.Bool
}

// New makes the service's tables in its database, and returns the service.
func New(ctx context.Context, db *kit.DB, kafka kit.Kafka, log *slog.Logger) (*Service, error) {
	if err := db.Gorm.WithContext(ctx).AutoMigrate(&Account{}, &Payment{}); err != nil {
		return nil, err
	}
	if err := db.Exec(ctx, kit.IdempotencyTable); err != nil {
		return nil, err
	}
	ob, err := outbox.New(db.Dialect)
	if err != nil {
		return nil, err
	}
	consumer, err := kafka.Consumer(db, "payments", log, events.PaymentCommands, events.Stock)
	if err != nil {
		return nil, err
	}
	return &Service{db: db, outbox: ob, kafka: kafka, consumer: consumer, RefuseAll: &atomic.Bool{}}, nil
}

// Run handles messages until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	// A step is one transaction: the message's id in the inbox, what handle writes, and the answer in the outbox.
	return s.consumer.Run(ctx, inbox.Step(s.outbox,
		func(ctx context.Context, tx *sql.Tx, m inbox.Message) ([]outbox.Event, error) {
			db, err := inboxgorm.Session(ctx, s.db.Gorm, tx)
			if err != nil {
				return nil, err
			}
			return s.handle(db, m)
		}))
}

// handle does what a message asks for and returns the answer. Messages of other types are none of payments' business.
func (s *Service) handle(tx *gorm.DB, m inbox.Message) ([]outbox.Event, error) {
	switch m.Type {
	case events.TypeTakePayment:
		command, err := kit.Decode[events.TakePayment](m)
		if err != nil {
			return nil, err
		}
		return s.take(tx, command.Of, events.Orchestrated, command.Cents)
	case events.TypeRefundPayment:
		command, err := kit.Decode[events.RefundPayment](m)
		if err != nil {
			return nil, err
		}
		return s.refund(tx, command.Of, events.Orchestrated)
	case events.TypeStockReserved:
		reserved, err := kit.Decode[events.StockReserved](m)
		if err != nil || reserved.Flow != events.Choreographed {
			return nil, err
		}
		return s.take(tx, reserved.Of, reserved.Flow, reserved.Cents)
	case events.TypeStockReleased:
		released, err := kit.Decode[events.StockReleased](m)
		if err != nil || released.Flow != events.Choreographed {
			return nil, err
		}
		return s.refund(tx, released.Of, released.Flow)
	}
	return nil, nil
}
