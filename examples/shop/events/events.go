// Package events is the language between the services of the shop: topics, types of events and commands, and the JSON
// bodies. It has names and types alone, no behaviour. No service imports another; all of them import this package.
//
// Every body about an order has order_id and customer. The key of such an event is the order id, so that the events of
// one order stay in order. The key of a customer's event is the customer's id. Event ids, correlation_id and
// causation_id travel in headers, which the library sets.
package events

// Topics of Kafka.
const (
	Customers = "customers" // key: customer id; body: Customer
	Orders    = "orders"    // key: order id
	Stock     = "stock"     // key: order id
	Payments  = "payments"  // key: order id

	StockCommands   = "stock-commands"   // key: order id; from the orchestrated saga
	PaymentCommands = "payment-commands" // key: order id; from the orchestrated saga
	OrderCommands   = "order-commands"   // key: order id; from orders to itself: accepted, and not carried out yet
	OrderTimeouts   = "order-timeouts"   // key: order id; from orders to itself, delivered later
)

// Mails is the topic of mails. It goes over RabbitMQ, from the second outbox of orders.
const Mails = "mails"

// KafkaTopics are all topics of the shop that are in Kafka.
func KafkaTopics() []string {
	return []string{Customers, Orders, Stock, Payments, StockCommands, PaymentCommands, OrderCommands, OrderTimeouts}
}

// Flow says who leads an order through its steps.
type Flow string

// The flows. An orchestrated order is led by the saga of orders, with commands. In a choreographed one each service
// reacts to the events of the others.
const (
	Orchestrated  Flow = "orchestrated"
	Choreographed Flow = "choreographed"
)

// Types of the events on Customers.
const (
	CustomerCreated = "customer.created"
	CustomerChanged = "customer.changed"
	CustomerErased  = "customer.erased"
)

// Customer is the body of all events on Customers: the whole state, in the form that inbox/replica reads. Version grows
// with each change, so that a consumer can tell an old event from a new one. Deleted marks the erasure; Name and Email
// are empty then.
type Customer struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Email   string `json:"email"`
	Version int64  `json:"version"`
	Deleted bool   `json:"deleted,omitempty"`
}

// Of is in the body of every event about an order.
type Of struct {
	OrderID  string `json:"order_id"`
	Customer string `json:"customer"`
}

// Item is a quantity of one article.
type Item struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}
