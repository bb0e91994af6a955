package invariants_test

import (
	"database/sql"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/invariants"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/orders/order"
)

// BenchmarkCheck is what one look at the whole table costs, in SQLite, without Kafka and Redis.
func BenchmarkCheck(b *testing.B) {
	const orders = 20_000
	s := newShop(b, kittest.SQLite)
	s.order(placed("o4", "ada", events.Orchestrated, 2, 400), "done", order.Confirm)
	s.exec("notifications", "INSERT INTO emails VALUES ('m4', 'o4', 'confirmed', 0)")
	numbers := fmt.Sprintf("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) ", orders)
	const body = `replace(body, '"o4"', '"o4-' || i || '"')`
	for database, tables := range map[string]map[string]string{
		s.home("ada"): {
			"order_events":  "'o4-' || i, version, type, " + body + " FROM order_events, n WHERE stream = 'o4'",
			"order_streams": "'o4-' || i, customer, version, at_rest FROM order_streams, n WHERE stream = 'o4'",
			"order_sagas":   "'o4-' || i, step, attempt, timer, reason FROM order_sagas, n WHERE order_id = 'o4'",
		},
		"gateway": {
			"order_view": "1, 'o4-' || i, customer, version, status, revision, " + body + ", 0 " +
				"FROM order_view, n WHERE order_id = 'o4'",
		},
		"payments": {"payments": "'o4-' || i, 'ada', '', 400, 'taken', '' FROM n"},
		"stock": {
			"reservations":      "'o4-' || i, 'ada', '', 400, 'reserved', '' FROM n",
			"reservation_items": "'o4-' || i, 'pen', 2 FROM n",
		},
		"notifications": {"emails": "'m4-' || i, 'o4-' || i, 'confirmed', 0 FROM n"},
	} {
		require.NoError(b, s.databases[database].Tx(b.Context(), func(tx *sql.Tx) error {
			for table, rows := range tables {
				if _, err := tx.ExecContext(b.Context(), "INSERT INTO "+table+" "+numbers+"SELECT "+rows); err != nil {
					return fmt.Errorf("%s: %w", table, err)
				}
			}
			return nil
		}))
	}
	s.options = invariants.Options{}
	a := s.auditor()
	for b.Loop() {
		rows, err := a.Check(b.Context())
		require.NoError(b, err)
		require.Contains(b, rows[2].Figures, "20004 orders: 20002 confirmed")
	}
}
