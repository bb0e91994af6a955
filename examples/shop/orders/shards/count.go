package shards

import (
	"context"
	"fmt"

	"github.com/postroom/postroom/examples/shop/kit"
)

// Counts is what lives in a shard.
type Counts struct {
	Customers int64 `json:"customers"`
	Moving    int64 `json:"moving"` // of Customers
	Orders    int64 `json:"orders"`
}

// Count counts what lives in a shard.
func Count(ctx context.Context, db *kit.DB) (c Counts, err error) {
	err = db.SQL.QueryRowContext(ctx, db.Bind(`SELECT
		(SELECT COUNT(*) FROM `+table+` WHERE state <> ?), (SELECT COUNT(*) FROM `+table+` WHERE state = ?),
		(SELECT COUNT(*) FROM order_streams)`), moved, draining).Scan(&c.Customers, &c.Moving, &c.Orders)
	if err != nil {
		return c, fmt.Errorf("count what lives in a shard: %w", err)
	}
	return c, nil
}
