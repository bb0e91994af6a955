package view

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/postroom/postroom/examples/shop/events"
)

// Each table has the generation in its key. A rebuild fills a new generation beside the live one.
var tables = []string{
	`CREATE TABLE IF NOT EXISTS view_generations (
		generation BIGINT      NOT NULL PRIMARY KEY,
		state      VARCHAR(16) NOT NULL)`, // building, live, retired
	`CREATE TABLE IF NOT EXISTS order_view (
		generation BIGINT      NOT NULL,
		order_id   VARCHAR(36) NOT NULL,
		customer   VARCHAR(36) NOT NULL,
		version    BIGINT      NOT NULL,
		status     VARCHAR(16) NOT NULL,
		revision   BIGINT      NOT NULL,
		body       TEXT        NOT NULL,
		updated_at BIGINT      NOT NULL,
		PRIMARY KEY (generation, order_id),
		UNIQUE (generation, customer, order_id))`,
	`CREATE INDEX IF NOT EXISTS order_view_updated_at ON order_view (generation, updated_at)`,
	// How often something changed among a customer's orders.
	`CREATE TABLE IF NOT EXISTS customer_orders (
		generation BIGINT      NOT NULL,
		customer   VARCHAR(36) NOT NULL,
		revision   BIGINT      NOT NULL,
		PRIMARY KEY (generation, customer))`,
	`CREATE TABLE IF NOT EXISTS customer_view (
		generation BIGINT       NOT NULL,
		customer   VARCHAR(36)  NOT NULL,
		version    BIGINT       NOT NULL,
		name       VARCHAR(200) NOT NULL,
		email      VARCHAR(320) NOT NULL,
		erased     INTEGER      NOT NULL,
		PRIMARY KEY (generation, customer))`,
	`CREATE TABLE IF NOT EXISTS order_timeline (
		generation BIGINT       NOT NULL,
		order_id   VARCHAR(36)  NOT NULL,
		message_id VARCHAR(255) NOT NULL,
		topic      VARCHAR(64)  NOT NULL,
		type       VARCHAR(64)  NOT NULL,
		cause      VARCHAR(255) NOT NULL,
		position   VARCHAR(64)  NOT NULL,
		applied_at BIGINT       NOT NULL,
		PRIMARY KEY (generation, order_id, message_id))`,
}

// row is an order with the number of its changes.
type row struct {
	Order
	revision int64
}

// lock makes the row if there is none, and keeps all others from changing it until the transaction ends.
func (m *Model) lock(ctx context.Context, tx *sql.Tx, generation int64, of events.Of) (r row, err error) {
	_, err = m.db.InsertNew(ctx, tx, "order_view",
		[]string{"generation", "order_id", "customer", "version", "status", "revision", "body", "updated_at"},
		generation, of.OrderID, of.Customer, 0, "", 0, "{}", 0)
	if err != nil {
		return r, err
	}
	var body []byte
	err = tx.QueryRowContext(ctx, m.db.Bind(
		"SELECT revision, body FROM order_view WHERE generation = ? AND order_id = ?"+m.db.ForUpdate()),
		generation, of.OrderID).Scan(&r.revision, &body)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(body, &r.Order)
}

func (m *Model) save(ctx context.Context, tx *sql.Tx, generation int64, r row) error {
	body, err := json.Marshal(r.Order)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, m.db.Bind(`UPDATE order_view
		SET version = ?, status = ?, revision = ?, body = ?, updated_at = ? WHERE generation = ? AND order_id = ?`),
		r.Version, r.Status, r.revision, string(body), time.Now().UnixMilli(), generation, r.OrderID)
	return err
}

// countChanges adds to the number of changes among a customer's orders, and returns it.
func (m *Model) countChanges(
	ctx context.Context, tx *sql.Tx, generation int64, customer string, changes int64,
) (revision int64, err error) {
	if _, err = m.db.InsertNew(ctx, tx, "customer_orders", []string{"generation", "customer", "revision"},
		generation, customer, 0); err != nil {
		return 0, err
	}
	if _, err = tx.ExecContext(ctx, m.db.Bind(
		"UPDATE customer_orders SET revision = revision + ? WHERE generation = ? AND customer = ?"),
		changes, generation, customer); err != nil {
		return 0, err
	}
	err = tx.QueryRowContext(ctx, m.db.Bind(
		"SELECT revision FROM customer_orders WHERE generation = ? AND customer = ?"), generation, customer,
	).Scan(&revision)
	return revision, err
}

// saveCustomer writes a customer's row, unless the row has a later version.
func (m *Model) saveCustomer(
	ctx context.Context, tx *sql.Tx, generation int64, c events.Customer,
) (changed bool, err error) {
	if _, err = m.db.InsertNew(ctx, tx, "customer_view",
		[]string{"generation", "customer", "version", "name", "email", "erased"},
		generation, c.ID, 0, "", "", 0); err != nil {
		return false, err
	}
	erased := 0
	if c.Deleted {
		erased = 1
	}
	// The version gate: a late event does not bring old data back, nor an erased customer.
	result, err := tx.ExecContext(ctx, m.db.Bind(`UPDATE customer_view SET version = ?, name = ?, email = ?, erased = ?
		WHERE generation = ? AND customer = ? AND version < ?`),
		c.Version, c.Name, c.Email, erased, generation, c.ID, c.Version)
	if err != nil {
		return false, fmt.Errorf("customer %s: %w", c.ID, err)
	}
	rows, err := result.RowsAffected()
	return rows == 1, err
}
