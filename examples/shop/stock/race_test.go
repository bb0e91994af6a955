package stock

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
)

// Orders of the same articles are reserved and released at the same time. No transaction waits for another in a circle,
// nothing is sold twice, and nothing is lost.
func TestOrdersAtTheSameTimeKeepTheSums(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		s, err := New(t.Context(), db, kittest.Kafka(t), kittest.Quiet())
		require.NoError(t, err)
		for _, sku := range []string{"pen", "ink"} {
			_, err := db.SQL.Exec(db.Bind("INSERT INTO items VALUES (?, 30, 0, 30)"), sku)
			require.NoError(t, err)
		}
		var workers sync.WaitGroup
		for worker := range 4 {
			workers.Go(func() {
				for n := range 25 {
					if !placeAndMaybeRelease(t, s, fmt.Sprintf("%d-%d", worker, n)) {
						return
					}
				}
			})
		}
		workers.Wait()
		requireSums(t, db)
	})
}

func placeAndMaybeRelease(t *testing.T, s *Service, id string) (ok bool) {
	items := []events.Item{{SKU: "pen", Quantity: 1 + rand.Int64N(2)}, {SKU: "ink", Quantity: 1}}
	rand.Shuffle(2, func(i, j int) { items[i], items[j] = items[j], items[i] })
	r := reservation{Of: events.Of{OrderID: id}, flow: events.Orchestrated, items: items}
	err := s.db.Tx(t.Context(), func(tx *sql.Tx) error {
		_, err := s.reserve(t.Context(), tx, r)
		return err
	})
	if err == nil && rand.IntN(2) == 0 {
		err = s.db.Tx(t.Context(), func(tx *sql.Tx) error {
			_, err := s.release(t.Context(), tx, r)
			return err
		})
	}
	if err != nil {
		t.Errorf("order %s: %v", id, err)
	}
	return err == nil
}

func requireSums(t *testing.T, db *kit.DB) {
	t.Helper()
	var reservations int
	require.NoError(t, db.SQL.QueryRow("SELECT COUNT(*) FROM reservations").Scan(&reservations))
	require.Equal(t, 100, reservations)
	for _, sku := range []string{"pen", "ink"} {
		var available, reserved, delivered, ofOrders int64
		require.NoError(t, db.SQL.QueryRow(db.Bind(selectItem), sku).Scan(&sku, &available, &reserved, &delivered))
		require.NoError(t, db.SQL.QueryRow(db.Bind(`SELECT COALESCE(SUM(quantity), 0) FROM reservation_items i
			JOIN reservations r ON r.order_id = i.order_id WHERE sku = ? AND state = 'reserved'`), sku).Scan(&ofOrders))
		require.Equal(t, delivered, available+reserved, sku)
		require.Equal(t, ofOrders, reserved, sku)
		require.NotZero(t, reserved, sku)
	}
}
