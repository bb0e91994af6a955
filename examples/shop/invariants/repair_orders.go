package invariants

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/gateway/view"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/outbox"
)

// quiet is how long the gateway must have heard nothing of an order before its events are sent again: a later event of
// it that is still on its way would make them too late.
const quiet = 5 * time.Second

// sendStreams makes the read models forget the orders that they show wrong, and sends the events of those orders again,
// in order.
func (a *Auditor) sendStreams(ctx context.Context) error {
	if err := a.dropParked(ctx); err != nil {
		return err
	}
	b, err := a.readBooks(ctx)
	if err != nil {
		return err
	}
	inGateway, inList, err := a.wrongInModels(ctx, b)
	if err != nil {
		return err
	}
	wrong := map[string]bool{}
	for _, id := range append(inGateway, inList...) {
		wrong[id] = true
	}
	for id := range wrong {
		s := b.streams[id]
		if s == nil || !s.AtRest() {
			continue
		}
		if forgotten, err := a.forget(ctx, id); err != nil || !forgotten {
			if err != nil {
				return err
			}
			continue
		}
		if err := a.sendStream(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// dropParked drops what the list of orders has parked: events that came before the first one of their order.
func (a *Auditor) dropParked(ctx context.Context) error {
	db := a.databases[a.listShard()]
	var list int64
	if err := a.numbers(ctx, a.listShard(), liveList, &list); err != nil {
		return err
	}
	consumer := fmt.Sprint(a.options.Kafka.Prefix, "order-list-", list)
	if _, err := db.SQL.ExecContext(ctx, db.Bind("UPDATE inbox_parked SET state = 'drop' WHERE consumer = ?"),
		consumer); err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var left int64
		err := a.each(ctx, a.listShard(), "SELECT COUNT(*) FROM inbox_parked WHERE consumer = ? AND state = 'drop'",
			func(scan scanner) error { return scan(&left) }, consumer)
		if err != nil || left == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C: // the consumer looks about every second
		}
	}
}

// forget winds the gateway's row back to before the first event, and deletes the one of the list. False: the order is
// not quiet.
func (a *Auditor) forget(ctx context.Context, id string) (bool, error) {
	db := a.databases["gateway"]
	forgotten := false
	err := db.Tx(ctx, func(tx *sql.Tx) error {
		var body []byte
		var updated int64
		if err := tx.QueryRowContext(ctx, db.Bind("SELECT body, updated_at FROM order_view WHERE order_id = ? "+
			"AND generation = ("+liveGeneration+")"+db.ForUpdate()), id).Scan(&body, &updated); err != nil {
			return err
		}
		if time.Since(time.UnixMilli(updated)) < quiet {
			return nil
		}
		var o view.Order
		if err := json.Unmarshal(body, &o); err != nil {
			return err
		}
		o = view.Order{Of: o.Of, Stock: o.Stock, Payment: o.Payment} // what the other services said is right
		body, err := json.Marshal(o)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, db.Bind("UPDATE order_view SET version = 0, status = '', body = ? "+
			"WHERE order_id = ? AND generation = ("+liveGeneration+")"), string(body), id)
		forgotten = err == nil
		return err
	})
	if err != nil || !forgotten {
		return false, err
	}
	list := a.databases[a.listShard()]
	_, err = list.SQL.ExecContext(ctx, list.Bind(
		"DELETE FROM order_view WHERE order_id = ? AND view = ("+liveList+")"), id)
	return true, err
}

// sendStream writes the events of an order into the outbox of its shard. It holds the head, as every writer of the
// stream does, so that the order in the outbox is that of the stream.
func (a *Auditor) sendStream(ctx context.Context, s *stream) error {
	db := a.databases[s.shard]
	ob, err := outbox.New(db.Dialect)
	if err != nil {
		return err
	}
	return db.Tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, db.Bind("UPDATE order_streams SET version = version WHERE stream = ?"),
			s.OrderID); err != nil {
			return err
		}
		again, err := eventsOf(ctx, db, tx, a.options.Kafka.Topic(events.Orders), s.OrderID)
		if err != nil {
			return err
		}
		return ob.Add(ctx, tx, again...)
	})
}

func eventsOf(ctx context.Context, db *kit.DB, tx *sql.Tx, topic, id string) (all []outbox.Event, err error) {
	rows, err := tx.QueryContext(ctx, db.Bind(
		"SELECT type, body FROM order_events WHERE stream = ? ORDER BY version"), id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		e := outbox.Event{Topic: topic, Key: id}
		if err := rows.Scan(&e.Type, &e.Payload); err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, rows.Err()
}
