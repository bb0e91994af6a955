package payments

import (
	"errors"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/outbox"
)

// States of a payment.
const (
	Taken    = "taken"
	Refused  = "refused"  // nothing was taken
	Refunded = "refunded" // nothing is taken any more, or ever will be
)

// Reasons of a refusal, or of a refund that fails.
const (
	ReasonNoAccount = "no account"
	ReasonClosed    = "the account is closed"
	ReasonTooLittle = "the balance is too low"
	ReasonRefunded  = "the order was refunded"
	ReasonSwitch    = "payments are refused at the moment"
	ReasonAmount    = "the amount is not above 0"
)

// take moves the price of an order out of the customer's account, or refuses.
func (s *Service) take(tx *gorm.DB, of events.Of, flow events.Flow, cents int64) ([]outbox.Event, error) {
	p := Payment{OrderID: of.OrderID, Customer: of.Customer, Flow: flow, Cents: cents, State: Taken}
	fresh, err := insertNew(tx, &p)
	if err != nil {
		return nil, err
	}
	if !fresh {
		// The same order again: no money moves, and the answer is what it was. If the order was refunded first, because
		// the saga gave up waiting, the late command must not take anything.
		if p, err = lock(tx, of.OrderID); err != nil {
			return nil, err
		}
		return s.answerTake(p)
	}
	if p.Reason, err = s.withdraw(tx, of.Customer, cents); err != nil {
		return nil, err
	}
	if p.Reason != "" {
		p.State, p.Cents = Refused, 0
		if err := tx.Save(&p).Error; err != nil {
			return nil, err
		}
	}
	return s.answerTake(p)
}

// withdraw takes money out of an account. If it cannot, it returns the reason.
func (s *Service) withdraw(tx *gorm.DB, customer string, cents int64) (reason string, err error) {
	switch {
	case s.RefuseAll.Load():
		return ReasonSwitch, nil
	case cents <= 0: // a negative amount would be a deposit
		return ReasonAmount, nil
	}
	// One statement checks the balance and takes the money. "Read the balance, then write the new one" would let two
	// orders at the same time spend the same money.
	update := tx.Model(&Account{}).Where("customer = ? AND balance_cents >= ? AND NOT closed", customer, cents).
		Update("balance_cents", gorm.Expr("balance_cents - ?", cents))
	if update.Error != nil || update.RowsAffected == 1 {
		return "", update.Error
	}
	var account Account
	err = tx.Where("customer = ?", customer).Take(&account).Error
	switch {
	case errors.Is(err, gorm.ErrRecordNotFound):
		return ReasonNoAccount, nil
	case account.Closed:
		return ReasonClosed, err
	}
	return ReasonTooLittle, err
}

// refund gives back what an order has paid.
func (s *Service) refund(tx *gorm.DB, of events.Of, flow events.Flow) ([]outbox.Event, error) {
	// If the order is not known yet, this row remembers that it was refunded: a command to take that was on its way for
	// too long then finds it.
	p := Payment{OrderID: of.OrderID, Customer: of.Customer, Flow: flow, State: Refunded}
	fresh, err := insertNew(tx, &p)
	if err != nil {
		return nil, err
	}
	if !fresh {
		if p, err = lock(tx, of.OrderID); err != nil {
			return nil, err
		}
	}
	if p.State == Taken {
		update := tx.Model(&Account{}).Where("customer = ? AND NOT closed", p.Customer).
			Update("balance_cents", gorm.Expr("balance_cents + ?", p.Cents))
		if update.Error != nil {
			return nil, update.Error
		}
		if update.RowsAffected == 0 {
			// The payment stays taken. The saga cannot go on by itself: somebody has to open the account again.
			return s.answer(p, events.TypeRefundFailed,
				events.RefundFailed{Of: of, Flow: p.Flow, Reason: ReasonClosed})
		}
		p.State = Refunded
		if err := tx.Save(&p).Error; err != nil {
			return nil, err
		}
	}
	return s.answer(p, events.TypePaymentRefunded, events.PaymentRefunded{Of: of, Flow: p.Flow, Cents: p.Cents})
}

func (s *Service) answerTake(p Payment) ([]outbox.Event, error) {
	of := events.Of{OrderID: p.OrderID, Customer: p.Customer}
	switch p.State {
	case Taken:
		return s.answer(p, events.TypePaymentTaken, events.PaymentTaken{Of: of, Flow: p.Flow, Cents: p.Cents})
	case Refunded:
		p.Reason = ReasonRefunded
	}
	return s.answer(p, events.TypePaymentRefused, events.PaymentRefused{Of: of, Flow: p.Flow, Reason: p.Reason})
}

func (s *Service) answer(p Payment, eventType string, body any) ([]outbox.Event, error) {
	event, err := s.kafka.Event(events.Payments, p.OrderID, eventType, body)
	return []outbox.Event{event}, err
}

// insertNew inserts the row unless the order has one. If another transaction is just inserting it, insertNew waits
// until that one has ended.
func insertNew(tx *gorm.DB, p *Payment) (fresh bool, err error) {
	insert := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(p)
	return insert.RowsAffected == 1, insert.Error
}

// lock reads a payment, which no other transaction can change until this one ends.
func lock(tx *gorm.DB, orderID string) (p Payment, err error) {
	err = tx.Clauses(clause.Locking{Strength: clause.LockingStrengthUpdate}).
		Where("order_id = ?", orderID).Take(&p).Error
	return p, err
}
