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
	"github.com/postroom/postroom/outbox"
)

// Orders of the same articles are reserved and released at the same time. No transaction waits for another in a circle,
// nothing is sold twice, and nothing is lost.
func TestOrdersAtTheSameTimeKeepTheSums(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		s, err := New(t.Context(), db, kittest.Kafka(t), kittest.Quiet())
		require.NoError(t, err)
		sortAsPeopleDo(t, db)
		for _, sku := range []string{"Pen", "ink"} {
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

// sortAsPeopleDo makes the database sort articles in another order than Go does: ink before Pen.
func sortAsPeopleDo(t *testing.T, db *kit.DB) {
	t.Helper()
	statement := map[outbox.Dialect]string{
		outbox.PostgreSQL: `ALTER TABLE reservation_items ALTER COLUMN sku TYPE VARCHAR(64) COLLATE "en-x-icu"`,
		outbox.MySQL:      "ALTER TABLE reservation_items MODIFY sku VARCHAR(64) COLLATE utf8mb4_unicode_ci NOT NULL",
	}[db.Dialect]
	if statement != "" { // SQLite has one writer at a time, whatever the order is
		require.NoError(t, db.Exec(t.Context(), statement))
	}
}

// Two transactions that lock the same two articles in different orders can wait for each other for ever.
func TestArticlesAreGivenBackInTheOrderInWhichTheyAreReserved(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		s, err := New(t.Context(), db, kittest.Kafka(t), kittest.Quiet())
		require.NoError(t, err)
		sortAsPeopleDo(t, db)
		for _, sku := range []string{"ink", "Pen"} {
			require.NoError(t, db.Exec(t.Context(), "INSERT INTO reservation_items VALUES ('o', '"+sku+"', 1)"))
		}
		items, err := s.items(t.Context(), db.SQL, "o")
		require.NoError(t, err)
		require.Equal(t, []events.Item{{SKU: "Pen", Quantity: 1}, {SKU: "ink", Quantity: 1}}, items)
	})
}

func placeAndMaybeRelease(t *testing.T, s *Service, id string) (ok bool) {
	items := []events.Item{{SKU: "Pen", Quantity: 1 + rand.Int64N(2)}, {SKU: "ink", Quantity: 1}}
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
	for _, sku := range []string{"Pen", "ink"} {
		var available, reserved, delivered, ofOrders int64
		require.NoError(t, db.SQL.QueryRow(db.Bind(selectItem), sku).Scan(&sku, &available, &reserved, &delivered))
		require.NoError(t, db.SQL.QueryRow(db.Bind(`SELECT COALESCE(SUM(quantity), 0) FROM reservation_items i
			JOIN reservations r ON r.order_id = i.order_id WHERE sku = ? AND state = 'reserved'`), sku).Scan(&ofOrders))
		require.Equal(t, delivered, available+reserved, sku)
		require.Equal(t, ofOrders, reserved, sku)
		require.NotZero(t, reserved, sku)
	}
}
