package invariants

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/orders/order"
	"github.com/postroom/postroom/examples/shop/rules"
	"github.com/postroom/postroom/outbox"
)

// Repair makes true again what became false while a rule was off, as rules.Info says. The rule must be on. It may be
// called while orders are under way, and it may be called again.
func (a *Auditor) Repair(ctx context.Context, rule rules.Rule) error {
	repairs := map[rules.Rule]func(context.Context) error{
		rules.Outbox: a.sendCustomers, rules.Inbox: a.deleteCopies, rules.KeyOrder: a.sendStreams,
		rules.VersionGate: a.emptyCache, rules.Compensation: a.giveBack,
	}
	repair, found := repairs[rule]
	if !found {
		return fmt.Errorf("there is no rule %q", rule)
	}
	if err := repair(ctx); err != nil {
		return fmt.Errorf("repair what rule %s protects: %w", rule, err)
	}
	return nil
}

// add writes events into the outbox of a service.
func (a *Auditor) add(ctx context.Context, database string, all ...outbox.Event) error {
	db := a.databases[database]
	ob, err := outbox.New(db.Dialect)
	if err != nil {
		return err
	}
	return db.Tx(ctx, func(tx *sql.Tx) error { return ob.Add(ctx, tx, all...) })
}

// sendCustomers sends the customers again whose copies are wrong. Their versions tell the copies what is new.
func (a *Auditor) sendCustomers(ctx context.Context) error {
	originals, wrong, err := a.wrongCopies(ctx)
	if err != nil {
		return err
	}
	for id := range wrong {
		p, found := originals[id]
		if !found {
			continue // nobody can say anything about somebody who never was a customer
		}
		kind := events.CustomerChanged
		if p.erased {
			kind = events.CustomerErased
		}
		event, err := a.options.Kafka.Event(events.Customers, id, kind, events.Customer{
			ID: id, Name: p.name, Email: p.email, Version: p.version, Deleted: p.erased,
		})
		if err == nil {
			err = a.add(ctx, "customers", event)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// giveBack sends the commands of the compensation again, for each cancelled order that still has something. The
// services know the orders, and so a copy of a command changes nothing.
func (a *Auditor) giveBack(ctx context.Context) error {
	b, err := a.readBooks(ctx)
	if err != nil {
		return err
	}
	held, err := a.holdings(ctx)
	if err != nil {
		return err
	}
	for id, has := range held {
		s := b.streams[id]
		if s == nil || s.Status != order.Cancelled {
			continue
		}
		refund, err := a.options.Kafka.Event(events.PaymentCommands, id, events.TypeRefundPayment,
			events.RefundPayment{Of: s.Of})
		if err != nil {
			return err
		}
		release, err := a.options.Kafka.Event(events.StockCommands, id, events.TypeReleaseStock,
			events.ReleaseStock{Of: s.Of})
		if err != nil {
			return err
		}
		commands := []outbox.Event{release}
		if has.cents > 0 {
			commands = append(commands, refund)
		}
		if err := a.add(ctx, s.shard, commands...); err != nil {
			return err
		}
	}
	return nil
}

// deleteCopies deletes all e-mails of a message but one, and notes in the inbox that the message was handled: without
// the rule nobody did.
func (a *Auditor) deleteCopies(ctx context.Context) error {
	db := a.databases["notifications"]
	return db.Tx(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT message_id, MIN(order_id), MIN(kind), MIN(made_at), COUNT(*)
			FROM emails GROUP BY message_id`)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		type email struct {
			id, order, kind string
			madeAt, copies  int64
		}
		var emails []email
		for rows.Next() {
			var e email
			if err := rows.Scan(&e.id, &e.order, &e.kind, &e.madeAt, &e.copies); err != nil {
				return err
			}
			emails = append(emails, e)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for _, e := range emails {
			if _, err := db.InsertNew(ctx, tx, "inbox_events", []string{"consumer", "message_id"},
				"notifications", e.id); err != nil {
				return err
			}
			if e.copies == 1 {
				continue
			}
			if _, err := tx.ExecContext(ctx, db.Bind("DELETE FROM emails WHERE message_id = ?"), e.id); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, db.Bind(
				"INSERT INTO emails (message_id, order_id, kind, made_at) VALUES (?, ?, ?, ?)"),
				e.id, e.order, e.kind, e.madeAt); err != nil {
				return err
			}
		}
		return nil
	})
}

// emptyCache deletes all cached answers. The floors stay.
func (a *Auditor) emptyCache(ctx context.Context) error {
	if a.redis == nil {
		return nil
	}
	prefix := a.options.Kafka.Prefix + "shop:"
	var cursor uint64
	for {
		keys, next, err := a.redis.Scan(ctx, cursor, prefix+"value:*", 500).Result()
		if err == nil && len(keys) > 0 {
			err = a.redis.Del(ctx, keys...).Err()
		}
		if err != nil || next == 0 {
			return err
		}
		cursor = next
	}
}
