package payments

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
)

// Orders of the same customer are paid and refunded at the same time. No cent is spent twice, none is lost and none
// comes from nothing.
func TestOrdersAtTheSameTimeKeepTheMoney(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		s, err := New(t.Context(), db, kittest.Kafka(t), kittest.Quiet())
		require.NoError(t, err)
		const deposited = 4000
		require.NoError(t, db.Gorm.Create(&Account{
			Customer: "ada", BalanceCents: deposited, DepositedCents: deposited,
		}).Error)
		var workers sync.WaitGroup
		for worker := range 4 {
			workers.Go(func() {
				for n := range 25 {
					if !payAndMaybeRefund(t, s, fmt.Sprintf("%d-%d", worker, n)) {
						return
					}
				}
			})
		}
		workers.Wait()

		var account Account
		var paid, orders int64
		require.NoError(t, db.Gorm.Take(&account).Error)
		require.NoError(t, db.Gorm.Model(&Payment{}).Count(&orders).Error)
		require.NoError(t, db.Gorm.Model(&Payment{}).Where("state = ?", Taken).
			Select("COALESCE(SUM(cents), 0)").Scan(&paid).Error)
		require.EqualValues(t, 100, orders)
		require.NotZero(t, paid)
		require.EqualValues(t, deposited, account.BalanceCents+paid)
		require.EqualValues(t, deposited, account.DepositedCents)
	})
}

func payAndMaybeRefund(t *testing.T, s *Service, id string) (ok bool) {
	of := events.Of{OrderID: id, Customer: "ada"}
	db := s.db.Gorm.WithContext(t.Context())
	err := db.Transaction(func(tx *gorm.DB) error {
		_, err := s.take(tx, of, events.Orchestrated, 90)
		return err
	})
	if err == nil && rand.IntN(2) == 0 {
		err = db.Transaction(func(tx *gorm.DB) error {
			_, err := s.refund(tx, of, events.Orchestrated)
			return err
		})
	}
	if err != nil {
		t.Errorf("order %s: %v", id, err)
	}
	return err == nil
}
