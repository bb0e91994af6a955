package events

// Types of the commands on StockCommands.
const (
	TypeReserveStock = "stock.reserve"
	TypeReleaseStock = "stock.release"
)

// Types of the events on Stock.
const (
	TypeStockReserved = "stock.reserved"
	TypeStockShort    = "stock.short"
	TypeStockReleased = "stock.released"
)

// ReserveStock sets the items of an order aside. The answer is StockReserved or StockShort. It may be sent again: the
// answer is then the same.
type ReserveStock struct {
	Of
	Items []Item `json:"items"`
	Cents int64  `json:"cents"`
}

// ReleaseStock gives the items of an order back. The answer is StockReleased, also if nothing was reserved. A
// ReserveStock that comes later is answered with StockShort.
type ReleaseStock struct {
	Of
}

// StockReserved says that all items of the order are set aside. Flow and Cents are what the order said: in a
// choreographed flow payments knows the price from here.
type StockReserved struct {
	Of
	Flow  Flow  `json:"flow"`
	Cents int64 `json:"cents"`
}

// StockShort says that nothing was set aside, because there is too little of SKU. SKU is empty if the order was
// released before.
type StockShort struct {
	Of
	Flow Flow   `json:"flow"`
	SKU  string `json:"sku"`
}

// StockReleased says that the order has nothing set aside any more.
type StockReleased struct {
	Of
	Flow Flow `json:"flow"`
}

// Types of the commands on PaymentCommands.
const (
	TypeTakePayment   = "payment.take"
	TypeRefundPayment = "payment.refund"
)

// Types of the events on Payments.
const (
	TypePaymentTaken    = "payment.taken"
	TypePaymentRefused  = "payment.refused"
	TypePaymentRefunded = "payment.refunded"
	TypeRefundFailed    = "payment.refund_failed"
)

// TakePayment moves money from the customer's account to the shop. The answer is PaymentTaken or PaymentRefused. It may
// be sent again: the answer is then the same.
type TakePayment struct {
	Of
	Cents int64 `json:"cents"`
}

// RefundPayment gives back what the order has paid. The answer is PaymentRefunded, also if nothing was paid, or
// RefundFailed. A TakePayment that comes later is answered with PaymentRefused.
type RefundPayment struct {
	Of
}

// PaymentTaken says that the order is paid.
type PaymentTaken struct {
	Of
	Flow  Flow  `json:"flow"`
	Cents int64 `json:"cents"`
}

// PaymentRefused says that nothing was taken, and why.
type PaymentRefused struct {
	Of
	Flow   Flow   `json:"flow"`
	Reason string `json:"reason"`
}

// PaymentRefunded says that the order has nothing paid any more. Cents is what went back; it may be 0.
type PaymentRefunded struct {
	Of
	Flow  Flow  `json:"flow"`
	Cents int64 `json:"cents"`
}

// RefundFailed says that the money cannot go back, for example because the account is closed. The payment stays taken.
// RefundPayment can be sent again when the cause is removed.
type RefundFailed struct {
	Of
	Flow   Flow   `json:"flow"`
	Reason string `json:"reason"`
}
