// Quickstart shows the whole path with gorm, to copy from. A shop writes orders and their events in one
// transaction. A relay in the same process sends the events to Kafka. Billing makes one invoice for each
// order, even if it gets a message twice.
//
//	go run ./examples/quickstart
//
// Without settings it needs no server. With DATABASE_URL (postgres://… or mysql://…) and KAFKA_BROKERS
// (host:port[,host:port…]) it uses your servers, and leaves its tables and its topic there. This file has
// what is worth copying. servers.go opens the servers. story.go places the orders and checks the result.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
	"gorm.io/gorm"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxgorm"
	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/outbox/outboxgorm"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// Order is a row of the shop's table.
type Order struct {
	ID       string `gorm:"primaryKey;size:36" json:"id"`
	Customer string `json:"customer"`
	Cents    int64  `json:"cents"`
}

// Invoice is a row of billing's table. Only the inbox keeps an order from getting two invoices.
type Invoice struct {
	ID      uint
	OrderID string `gorm:"size:36;index"`
	Cents   int64
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(
		ctx, os.Stdout, os.Getenv("DATABASE_URL"), os.Getenv("KAFKA_BROKERS"), "quickstart-orders",
	); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, databaseURL, kafkaBrokers, topic string) error {
	s, err := open(ctx, databaseURL, kafkaBrokers, topic)
	if err != nil {
		return err
	}
	defer s.close()

	// Create Postroom's tables, with package migrations or `relay migrate up`. Create your own tables as you
	// always do.
	if _, err := migrations.Apply(ctx, s.sql, s.dialect, migrations.Options{}); err != nil {
		return err
	}
	if err := s.db.AutoMigrate(&Order{}, &Invoice{}); err != nil {
		return err
	}

	services, stopServices := context.WithCancel(ctx)
	defer stopServices()
	group, services := errgroup.WithContext(services)
	group.Go(func() error { return runRelay(services, s) })
	group.Go(func() error { return runBilling(services, s, out) })

	orders, err := sell(services, s, out)
	if err == nil {
		err = waitForInvoices(services, s.db, orders)
	}
	stopServices()
	if err := errors.Join(group.Wait(), err); err != nil {
		return err
	}
	return check(ctx, s.db, out, orders)
}

var errNoCredit = errors.New("the customer has no credit")

// placeOrder writes an order and its event in one transaction: either both are stored, or neither is.
func placeOrder(ctx context.Context, db *gorm.DB, ob *outbox.Outbox, topic string, order Order) error {
	return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := tx.Create(&order).Error; err != nil {
			return err
		}
		payload, err := outbox.JSON(order)
		if err != nil {
			return err
		}
		event := outbox.Event{Topic: topic, Key: order.ID, Type: "order.placed", Payload: payload}
		if err := outboxgorm.Add(ctx, ob, tx, event); err != nil {
			return err
		}
		if order.Customer == "Mallory" {
			return errNoCredit // rolls back the order, and the event with it
		}
		return nil
	})
}

// runRelay sends the events in the outbox until ctx ends. It can also be a process of its own: `relay run
// --database-url … --kafka-brokers …`.
func runRelay(ctx context.Context, s *servers) error {
	sink, err := relaykafka.New(relaykafka.Config{Brokers: s.brokers})
	if err != nil {
		return err
	}
	r, err := relay.New(relay.Config{DB: s.sql, Dialect: s.dialect, Sink: sink})
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

// runBilling makes an invoice for each order until ctx ends.
func runBilling(ctx context.Context, s *servers, out io.Writer) error {
	ib, err := inbox.New(s.dialect, "billing")
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(s.brokers...),
		kgo.ConsumeTopics(s.topic),
		kgo.ConsumerGroup(s.topic+"-billing"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.DisableAutoCommit(), // the database commits before the offset
	)
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s: %w", s.topic, err)
		}
		if err := billAll(ctx, ib, s.db, fetches.Records(), out); err != nil {
			return err
		}
		if err := client.CommitRecords(context.WithoutCancel(ctx), fetches.Records()...); err != nil {
			return fmt.Errorf("commit the offsets of %s: %w", s.topic, err)
		}
	}
}

// billAll finishes the fetched records, even if ctx ends in the meantime.
func billAll(ctx context.Context, ib *inbox.Inbox, db *gorm.DB, records []*kgo.Record, out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	for _, record := range records {
		for range 2 { // handle each message twice, as after a crash
			if err := bill(ctx, ib, db, record, out); err != nil {
				return err
			}
		}
	}
	return nil
}

// bill writes the invoice and the message's id in one transaction.
func bill(ctx context.Context, ib *inbox.Inbox, db *gorm.DB, record *kgo.Record, out io.Writer) error {
	message := inbox.Message{
		ID:       header(record, relay.HeaderMessageUUID),
		Position: &inbox.Position{Topic: record.Topic, Partition: record.Partition, Offset: record.Offset},
	}
	outcome, err := inboxgorm.Process(ctx, ib, db, message, func(ctx context.Context, tx *gorm.DB) error {
		var order Order
		if err := json.Unmarshal(record.Value, &order); err != nil {
			return err
		}
		return tx.Create(&Invoice{OrderID: order.ID, Cents: order.Cents}).Error
	})
	if err == nil {
		fmt.Fprintf(out, "billing: order %s: %s\n", record.Key, outcome)
	}
	return err
}

func header(record *kgo.Record, name string) string {
	for _, h := range record.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}
