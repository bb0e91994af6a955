// Package view is the read model of orders: one list of the orders of all shards, with filters that the streams of
// events cannot answer.
//
// It is a projection of the events on the topic orders. Its position in the topic is its own, in its own database: the
// transaction that writes rows moves the position too, so that no event is applied twice or skipped. A new form of the
// list is built beside the live one, from the first event on, and takes its place when it has caught up (rebuild.go).
//
// It reads Kafka and not the table of events. Ids of rows are given before the commit: who reads "id > last" skips a
// row that is committed late. The relay, which fills the topic, takes care of that.
package view

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strconv"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
)

var tables = []string{
	// Several lists can be in the table, each under its number. One of them is live.
	`CREATE TABLE IF NOT EXISTS order_view (
		view     INTEGER     NOT NULL,
		order_id VARCHAR(36) NOT NULL,
		customer VARCHAR(36) NOT NULL,
		status   VARCHAR(20) NOT NULL,
		reason   TEXT        NOT NULL,
		cents    BIGINT      NOT NULL,
		version  BIGINT      NOT NULL,
		PRIMARY KEY (view, order_id),
		UNIQUE (view, customer, order_id)
	)`,
	// The lists that are kept in step: the live one, and new ones until they take its place.
	`CREATE TABLE IF NOT EXISTS order_view_lists (
		view INTEGER NOT NULL PRIMARY KEY
	)`,
	`CREATE TABLE IF NOT EXISTS order_view_live (
		id   INTEGER NOT NULL PRIMARY KEY,
		view INTEGER NOT NULL
	)`,
}

// Row is an order in the list.
type Row struct {
	events.Of
	Status  string `json:"status"`
	Reason  string `json:"reason,omitempty"`
	Cents   int64  `json:"cents"`
	Version int64  `json:"version"`
}

// View is the list. Make it with New.
type View struct {
	db    *kit.DB
	kafka kit.Kafka
	log   *slog.Logger
}

// New makes the tables.
func New(ctx context.Context, db *kit.DB, kafka kit.Kafka, log *slog.Logger) (*View, error) {
	if err := db.Exec(ctx, tables...); err != nil {
		return nil, err
	}
	v := &View{db: db, kafka: kafka, log: log}
	err := db.Tx(ctx, func(tx *sql.Tx) error {
		if _, err := db.InsertNew(ctx, tx, "order_view_live", []string{"id", "view"}, 1, 1); err != nil {
			return err
		}
		live, err := v.lockLive(ctx, tx)
		if err != nil {
			return err
		}
		_, err = db.InsertNew(ctx, tx, "order_view_lists", []string{"view"}, live)
		return err
	})
	if err != nil {
		return nil, err
	}
	// What a process left that died when it had just stopped keeping a list.
	return v, v.clear(ctx, "view NOT IN (SELECT view FROM order_view_lists)")
}

// Filter says which orders; an empty field says nothing.
type Filter struct{ Customer, Status string }

// List returns up to limit orders after an order id, in the order of the ids. One statement reads which list is live
// and that list, so that a reader never sees two of them.
func (v *View) List(ctx context.Context, f Filter, after string, limit int) ([]Row, error) {
	rows, err := v.db.SQL.QueryContext(ctx, v.db.Bind(`SELECT order_id, customer, status, reason, cents, version
		FROM order_view WHERE view = (SELECT view FROM order_view_live WHERE id = 1) AND order_id > ?
		AND (customer = ? OR ? = '') AND (status = ? OR ? = '') ORDER BY order_id LIMIT ?`),
		after, f.Customer, f.Customer, f.Status, f.Status, limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	list := []Row{}
	for rows.Next() {
		var r Row
		if err := rows.Scan(&r.OrderID, &r.Customer, &r.Status, &r.Reason, &r.Cents, &r.Version); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// consumer is the name under which a list keeps its position. Each list is a consumer of its own. Its name is a group
// in Kafka: no other service may have it, or each of the two would get half of the partitions.
func (v *View) consumer(number int) string {
	return v.kafka.Prefix + "order-list-" + strconv.Itoa(number)
}

// project writes a list until ctx ends.
func (v *View) project(ctx context.Context, number int) error {
	ib, err := inbox.New(v.db.Dialect, v.consumer(number), inbox.WithLogger(v.log))
	if err != nil {
		return err
	}
	consumer, err := inboxkafka.New(inboxkafka.Config{
		Inbox: ib, DB: v.db.SQL, Brokers: v.kafka.Brokers, Group: ib.Consumer(),
		Topics: []string{v.kafka.Topic(events.Orders)}, Mode: inboxkafka.OffsetsInDatabase, Logger: v.log,
		Options: v.kafka.Options(),
	})
	if err != nil {
		return err
	}
	return consumer.Run(ctx, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		return v.apply(ctx, tx, number, m)
	})
}

// statuses are what an event makes of an order.
var statuses = map[string]string{
	events.TypeOrderPlaced:          "placed",
	events.TypeOrderConfirmed:       "confirmed",
	events.TypeOrderCancelRequested: "cancelling",
	events.TypeOrderRepaired:        "cancelling",
	events.TypeOrderCancelled:       "cancelled",
	events.TypeOrderStuck:           "stuck",
}

// apply writes one event into a list.
func (v *View) apply(ctx context.Context, tx *sql.Tx, number int, m inbox.Message) error {
	type body struct {
		events.OrderPlaced
		Reason string `json:"reason"`
	}
	e, err := kit.Decode[body](m)
	if err != nil {
		return err
	}
	if m.Type == events.TypeOrderPlaced {
		_, err := v.db.InsertNew(ctx, tx, "order_view",
			[]string{"view", "order_id", "customer", "status", "reason", "cents", "version"},
			number, e.OrderID, e.Customer, statuses[m.Type], "", e.Cents, e.Version)
		return err
	}
	status, known := statuses[m.Type]
	if !known { // the note has changed, which the list does not have
		_, err := tx.ExecContext(ctx, v.db.Bind(
			"UPDATE order_view SET version = ? WHERE view = ? AND order_id = ?"), e.Version, number, e.OrderID)
		return err
	}
	result, err := tx.ExecContext(ctx, v.db.Bind(
		"UPDATE order_view SET version = ?, status = ?, reason = ? WHERE view = ? AND order_id = ?"),
		e.Version, status, e.Reason, number, e.OrderID)
	if err != nil {
		return err
	}
	if rows, err := result.RowsAffected(); err != nil || rows == 1 {
		return err
	}
	return errors.New("order " + e.OrderID + " is not in the list: its first event is missing")
}
