package view

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

// Recent returns the orders that changed last, the newest first.
func (m *Model) Recent(ctx context.Context, limit int) (orders []Order, err error) {
	rows, err := m.db.SQL.QueryContext(ctx, m.db.Bind("SELECT body FROM order_view WHERE generation = "+ofLive+
		" AND updated_at > 0 ORDER BY updated_at DESC LIMIT ?"), limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var body []byte
		var o Order
		if err := rows.Scan(&body); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(body, &o); err != nil {
			return nil, err
		}
		orders = append(orders, o)
	}
	return orders, rows.Err()
}

// Step is an event in the timeline of an order, as it was applied to the read model.
type Step struct {
	ID, Topic, Type string
	Cause           string // the id of the event that led to this one; empty: somebody's request
	Position        string // partition@offset in the topic
	Applied         time.Time
}

// Timeline returns the events of an order in the order of their arrival.
func (m *Model) Timeline(ctx context.Context, order string) (steps []Step, err error) {
	rows, err := m.db.SQL.QueryContext(ctx, m.db.Bind(`SELECT message_id, topic, type, cause, position, applied_at
		FROM order_timeline WHERE generation = `+ofLive+` AND order_id = ?
		ORDER BY applied_at, topic, position`), order)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var s Step
		var applied int64
		if err := rows.Scan(&s.ID, &s.Topic, &s.Type, &s.Cause, &s.Position, &applied); err != nil {
			return nil, err
		}
		s.Applied = time.UnixMilli(applied).UTC()
		steps = append(steps, s)
	}
	return steps, rows.Err()
}

// Delivered returns how many messages of each topic have reached the model.
func (m *Model) Delivered(ctx context.Context) (map[string]int64, error) {
	generation, err := m.Live(ctx)
	if err != nil {
		return nil, err
	}
	positions, err := m.positions(ctx, m.db.SQL, generation)
	delivered := map[string]int64{}
	for partition, next := range positions {
		topic, _, _ := strings.Cut(strings.TrimPrefix(partition, m.kafka.Prefix), "/")
		delivered[topic] += next
	}
	return delivered, err
}
