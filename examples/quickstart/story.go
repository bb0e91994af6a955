package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/postroom/postroom/outbox"
)

// sell places orders, and returns the ids of those that were committed.
func sell(ctx context.Context, s *servers, out io.Writer) (ids []string, err error) {
	ob, err := outbox.New(s.dialect)
	if err != nil {
		return nil, err
	}
	for _, customer := range []string{"Alice", "Bob", "Mallory", "Carol"} {
		order := Order{ID: uuid.NewString(), Customer: customer, Cents: 4200}
		err := placeOrder(ctx, s.db, ob, s.topic, order)
		switch {
		case errors.Is(err, errNoCredit):
			fmt.Fprintf(out, "shop:    order %s of %s: rolled back\n", order.ID, customer)
		case err != nil:
			return nil, err
		default:
			fmt.Fprintf(out, "shop:    order %s of %s: committed\n", order.ID, customer)
			ids = append(ids, order.ID)
		}
	}
	return ids, nil
}

// waitForInvoices waits until every order has an invoice, at most half a minute.
func waitForInvoices(ctx context.Context, db *gorm.DB, orders []string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var invoiced int64
		err := db.WithContext(ctx).Model(&Invoice{}).Where("order_id IN ?", orders).
			Distinct("order_id").Count(&invoiced).Error
		if err == nil && invoiced == int64(len(orders)) {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for the invoices: %d of %d orders have one: %w", invoiced, len(orders), ctx.Err())
		}
	}
}

// check returns an error unless each order of this run has exactly one invoice, and no event is left.
func check(ctx context.Context, db *gorm.DB, out io.Writer, orders []string) error {
	var invoices, distinct, waiting int64
	ours := func() *gorm.DB { return db.WithContext(ctx).Model(&Invoice{}).Where("order_id IN ?", orders) }
	for _, err := range []error{
		ours().Count(&invoices).Error,
		ours().Distinct("order_id").Count(&distinct).Error,
		db.WithContext(ctx).Table("outbox_events").Count(&waiting).Error,
	} {
		if err != nil {
			return err
		}
	}
	if n := int64(len(orders)); invoices != n || distinct != n || waiting != 0 {
		return fmt.Errorf(
			"%d orders, %d invoices of %d orders, %d events left in the outbox", n, invoices, distinct, waiting,
		)
	}
	_, err := fmt.Fprintf(
		out, "OK: %d orders committed, %d invoices, each message delivered twice\n", len(orders), invoices,
	)
	return err
}
