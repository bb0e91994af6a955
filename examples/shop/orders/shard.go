package orders

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/orders/eventstore"
	"github.com/postroom/postroom/examples/shop/orders/order"
	"github.com/postroom/postroom/examples/shop/orders/saga"
	"github.com/postroom/postroom/examples/shop/orders/shards"
	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/inbox/inboxwatermill"
	"github.com/postroom/postroom/inbox/inboxwatermill/watermillkafka"
	"github.com/postroom/postroom/inbox/replica"
	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/outbox"
)

// MailPrefix is before the names of the second outbox's tables, whose events go over RabbitMQ.
const MailPrefix = "mail_"

// customersTable is the copy of the customers, which inbox/replica keeps. Every shard has all customers: a request
// finds the customer without asking another service, which may be down.
const customersTable = `CREATE TABLE IF NOT EXISTS customers (
	id    VARCHAR(36)  NOT NULL PRIMARY KEY,
	name  VARCHAR(200) NOT NULL,
	email VARCHAR(320) NOT NULL
)`

// shard is what works on one database.
type shard struct {
	db                       *kit.DB
	log                      *slog.Logger
	outbox                   *outbox.Outbox
	mails                    *outbox.Outbox
	mailTopic, commandsTopic string
	orders                   *order.Repository
	saga                     *saga.Saga
	inbox                    *inbox.Inbox
	once                     message.HandlerMiddleware // runs a handler in a transaction, once per message

	customers *replica.Replica
	consumer  *inboxkafka.Consumer // of the customers
}

func newShard(ctx context.Context, of shards.Shard, config Config) (s *shard, err error) {
	s = &shard{
		db: of.DB, log: config.Logger.With("shard", of.Name),
		mailTopic: config.Kafka.Topic(events.Mails), commandsTopic: config.Kafka.Topic(events.OrderCommands),
	}
	for _, tables := range [][]string{
		{kit.IdempotencyTable, customersTable}, eventstore.Tables, saga.Tables, shards.Tables,
	} {
		if err := s.db.Exec(ctx, tables...); err != nil {
			return nil, err
		}
	}
	if _, err := migrations.Apply(ctx, s.db.SQL, s.db.Dialect,
		migrations.Options{Prefix: MailPrefix, Only: migrations.OutboxOnly}); err != nil {
		return nil, err
	}
	if s.outbox, err = outbox.New(s.db.Dialect); err != nil {
		return nil, err
	}
	if s.mails, err = outbox.New(s.db.Dialect, outbox.WithTablePrefix(MailPrefix)); err != nil {
		return nil, err
	}
	s.orders = &order.Repository{
		Store: eventstore.New(s.db, s.outbox, config.Kafka.Topic(events.Orders)), OnEvent: s.mail,
	}
	s.saga = &saga.Saga{
		DB: s.db, Outbox: s.outbox, Orders: s.orders, Topic: config.Kafka.Topic, Timeout: config.Timeout,
		Rules: config.Rules,
	}
	if s.inbox, err = inbox.New(s.db.Dialect, shards.Consumer, inbox.WithLogger(config.Logger)); err != nil {
		return nil, err
	}
	s.once = inboxwatermill.Middleware(s.inbox, s.db.SQL,
		inboxwatermill.WithPosition(watermillkafka.Position), inboxwatermill.WithKey(watermillkafka.Key))
	s.customers, err = replica.New(s.db.Dialect, replica.Config{
		Table: "customers", Key: []string{"id"}, Columns: []string{"name", "email"},
	})
	if err != nil {
		return nil, err
	}
	if err := s.customers.Check(ctx, s.db.SQL); err != nil {
		return nil, err
	}
	s.consumer, err = config.Kafka.Consumer(s.db, "customers-of-"+of.Name, config.Logger, events.Customers)
	return s, err
}

// copyCustomers keeps the copy of the customers in step.
func (s *shard) copyCustomers(ctx context.Context) error {
	return s.consumer.RunBatch(ctx, s.customers.BatchHandler(nil))
}

// tidyCustomers removes what a backfill says is gone, every minute.
func (s *shard) tidyCustomers(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if _, err := s.customers.Tidy(ctx, s.db.SQL, replica.TidyOptions{}); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "cannot tidy the copy of the customers, trying again in a minute", "error", err)
		}
	}
}

// customer finds a customer in the copy. False: not known here, or erased.
func (s *shard) customer(ctx context.Context, tx *sql.Tx, id string) (c events.Customer, known bool, err error) {
	err = tx.QueryRowContext(ctx,
		s.db.Bind("SELECT id, name, email FROM customers WHERE id = ?"), id).Scan(&c.ID, &c.Name, &c.Email)
	if errors.Is(err, sql.ErrNoRows) {
		return c, false, nil
	}
	return c, err == nil, err
}

// mail asks for an e-mail at the end of an order, in the transaction that ends it.
func (s *shard) mail(ctx context.Context, tx *sql.Tx, o order.Order, e eventstore.Event) error {
	kind := map[string]string{events.TypeOrderConfirmed: "confirmed", events.TypeOrderCancelled: "cancelled"}[e.Type]
	if kind == "" {
		return nil
	}
	to, known, err := s.customer(ctx, tx, o.Customer)
	if err != nil || !known {
		return err // an erased customer gets no mail
	}
	body, err := outbox.JSON(events.MailRequested{Of: o.Of, Kind: kind, To: to.Email, Name: to.Name})
	if err != nil {
		return err
	}
	return s.mails.Add(ctx, tx, outbox.Event{
		Topic: s.mailTopic, Key: o.OrderID, Type: events.TypeMailRequested, Payload: body,
	})
}
