// Package stock owns the articles of the shop and what is set aside for orders, in a database that no other service can
// open. It uses database/sql.
//
// An order led by a saga (orchestrated) sends commands. In a choreographed order stock acts by itself: it reserves when
// an order is placed, and releases when the payment is refused or the customer cancels. Both ways call the same two
// functions, reserve and release, which are repeatable: the same order again changes nothing and gets the same answer.
//
// What holds at all times: available + reserved = delivered, of each article.
package stock

import (
	"context"
	"database/sql"
	"log/slog"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/rules"
	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/outbox"
)

// tables are the service's own. The CHECKs are the last line of defence: a mistake in the code fails its transaction
// instead of selling what is not there.
var tables = []string{
	kit.IdempotencyTable,
	`CREATE TABLE IF NOT EXISTS items (
		sku       VARCHAR(64) NOT NULL PRIMARY KEY,
		available BIGINT      NOT NULL CHECK (available >= 0),
		reserved  BIGINT      NOT NULL CHECK (reserved >= 0),
		delivered BIGINT      NOT NULL)`, // all that ever came in
	`CREATE TABLE IF NOT EXISTS reservations (
		order_id VARCHAR(36) NOT NULL PRIMARY KEY,
		customer VARCHAR(36) NOT NULL,
		flow     VARCHAR(20) NOT NULL,
		cents    BIGINT      NOT NULL,
		state    VARCHAR(20) NOT NULL,
		short    VARCHAR(64) NOT NULL)`, // the article that there is too little of
	`CREATE TABLE IF NOT EXISTS reservation_items (
		order_id VARCHAR(36) NOT NULL,
		sku      VARCHAR(64) NOT NULL,
		quantity BIGINT      NOT NULL,
		PRIMARY KEY (order_id, sku))`,
}

// Service is the stock service. Make it with New.
type Service struct {
	db       *kit.DB
	outbox   *outbox.Outbox
	kafka    kit.Kafka
	consumer *inboxkafka.Consumer

	// Rules are the switches of the demonstration. Set it before Run; nil: all rules are followed.
	Rules *rules.Switches
}

// New makes the service's tables in its database, and returns the service.
func New(ctx context.Context, db *kit.DB, kafka kit.Kafka, log *slog.Logger) (*Service, error) {
	if err := db.Exec(ctx, tables...); err != nil {
		return nil, err
	}
	ob, err := outbox.New(db.Dialect)
	if err != nil {
		return nil, err
	}
	consumer, err := kafka.Consumer(db, "stock", log, events.StockCommands, events.Orders, events.Payments)
	if err != nil {
		return nil, err
	}
	return &Service{db: db, outbox: ob, kafka: kafka, consumer: consumer}, nil
}

// Run handles messages until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	// A step is one transaction: the message's id in the inbox, what handle writes, and the answer in the outbox.
	return s.consumer.Run(ctx, inbox.Step(s.outbox, s.handle))
}

// handle does what a message asks for and returns the answer. Messages of other types are none of stock's business.
func (s *Service) handle(ctx context.Context, tx *sql.Tx, m inbox.Message) ([]outbox.Event, error) {
	switch m.Type {
	case events.TypeReserveStock:
		command, err := kit.Decode[events.ReserveStock](m)
		if err != nil {
			return nil, err
		}
		return s.reserve(ctx, tx, reservation{
			Of: command.Of, flow: events.Orchestrated, cents: command.Cents, items: command.Items,
		})
	case events.TypeReleaseStock:
		command, err := kit.Decode[events.ReleaseStock](m)
		if err != nil {
			return nil, err
		}
		return s.release(ctx, tx, reservation{Of: command.Of, flow: events.Orchestrated})
	case events.TypeOrderPlaced:
		placed, err := kit.Decode[events.OrderPlaced](m)
		if err != nil || placed.Flow != events.Choreographed {
			return nil, err
		}
		return s.reserve(ctx, tx, reservation{
			Of: placed.Of, flow: placed.Flow, cents: placed.Cents, items: placed.Items,
		})
	case events.TypePaymentRefused:
		refused, err := kit.Decode[events.PaymentRefused](m)
		if err != nil || refused.Flow != events.Choreographed {
			return nil, err
		}
		if !s.Rules.On(rules.Compensation) {
			// The naive way: the next one in the chain hears that the articles are released, and nobody releases them.
			return s.answer(reservation{Of: refused.Of}, events.TypeStockReleased,
				events.StockReleased{Of: refused.Of, Flow: refused.Flow})
		}
		return s.release(ctx, tx, reservation{Of: refused.Of, flow: refused.Flow})
	case events.TypeOrderCancelRequested:
		requested, err := kit.Decode[events.OrderCancelRequested](m)
		if err != nil || requested.Flow != events.Choreographed {
			return nil, err
		}
		return s.release(ctx, tx, reservation{Of: requested.Of, flow: requested.Flow})
	}
	return nil, nil
}
