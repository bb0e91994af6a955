package demo

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/kafkaread"
)

// facts is what was found at the end, in the databases and in the topic. Only the list of orders that were
// rolled back comes from the shop's memory, because they left no trace.
type facts struct {
	orders     []order // the shop's table
	rolledBack []order
	waiting    int     // events still in the outbox
	delivered  []order // the topic, each partition from its start to its end; copies included
	invoices   []order // billing's table, in the order in which they were written
	counts     counts
}

func (p *parts) facts(ctx context.Context) (f facts, err error) {
	if f.orders, err = readOrders(
		ctx, p.shopDB.DB, "SELECT id, customer, nth, cents FROM orders ORDER BY id",
	); err != nil {
		return f, fmt.Errorf("read the shop's orders: %w", err)
	}
	if f.waiting, err = p.shop.waiting(ctx); err != nil {
		return f, fmt.Errorf("read the shop's outbox: %w", err)
	}
	if f.invoices, err = readOrders(
		ctx, p.billingDB.DB, "SELECT order_id, customer, nth, cents FROM invoices ORDER BY seq",
	); err != nil {
		return f, fmt.Errorf("read billing's invoices: %w", err)
	}
	if f.delivered, err = readTopic(ctx, p.kafka.ListenAddrs()); err != nil {
		return f, fmt.Errorf("read the topic %s: %w", topic, err)
	}
	f.rolledBack = p.shop.rolledBack
	f.counts, _, _ = p.stats.look()
	return f, nil
}

func readOrders(ctx context.Context, db *sql.DB, query string) (orders []order, err error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var o order
		if err := rows.Scan(&o.ID, &o.Customer, &o.Nth, &o.Cents); err != nil {
			return nil, err
		}
		orders = append(orders, o)
	}
	return orders, rows.Err()
}

// readTopic returns the topic's orders, partition by partition.
func readTopic(ctx context.Context, brokers []string) (orders []order, err error) {
	records, err := kafkaread.Records(ctx, brokers, topic, kgo.ReadCommitted(), kgo.DisableClientMetrics())
	slices.SortStableFunc(records, func(a, b *kgo.Record) int { return cmp.Compare(a.Partition, b.Partition) })
	for _, r := range records {
		var o order
		if err := json.Unmarshal(r.Value, &o); err != nil {
			return nil, fmt.Errorf("decode the order at %d@%d: %w", r.Partition, r.Offset, err)
		}
		orders = append(orders, o)
	}
	return orders, err
}
