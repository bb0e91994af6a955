package shards

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/postroom/postroom/examples/shop/kit"
)

// busyError says what of a customer is under way.
type busyError string

func (e busyError) Error() string { return string(e) }

// Consumer is the name under which the service consumes messages about orders, in the inbox of each shard.
const Consumer = "orders"

// While one of these queries returns a row, something of the customer is under way. Events that wait in an outbox would
// be overtaken by later ones of the same order from the outbox of the new shard. A message that is parked is run again
// in the shard that has parked it.
var busy = []struct {
	reason busyError
	query  string
}{
	{
		"an order has not ended: it waits for an answer, or for somebody who cancels it",
		"SELECT 1 FROM order_streams WHERE customer = ? AND at_rest = 0 LIMIT 1",
	},
	{"events wait in the outbox for the relay", waitingIn("outbox_events")},
	{"events wait in the outbox for their time", waitingIn("outbox_scheduled")},
	{"mails wait in the outbox for the relay", waitingIn("mail_outbox_events")},
	{"an event is parked in the outbox: see relay parked", waitingIn("outbox_parked")},
	{"a mail is parked in the outbox: see relay parked", waitingIn("mail_outbox_parked")},
	{
		"a message is parked in the inbox: see relay inbox parked",
		"SELECT 1 FROM order_streams JOIN inbox_parked ON event_key = stream WHERE customer = ? AND consumer = '" +
			Consumer + "' LIMIT 1",
	},
}

func waitingIn(table string) string {
	return "SELECT 1 FROM order_streams JOIN " + table + " ON event_key = stream WHERE customer = ? LIMIT 1"
}

// queryer is a *sql.DB or a *sql.Tx.
type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// underWay returns a busyError if the customer cannot move now.
func underWay(ctx context.Context, customer string, from *kit.DB, q queryer, to *kit.DB) error {
	for _, b := range busy {
		switch found, err := exists(ctx, from, q, b.query, customer); {
		case err != nil:
			return fmt.Errorf("%s: %w", b.query, err)
		case found:
			return b.reason
		}
	}
	// Each shard has a copy of the customers. Without a row in the new one, the customer would get no mails there.
	const known = "SELECT 1 FROM customers WHERE id = ?"
	here, err := exists(ctx, from, q, known, customer)
	if err != nil || !here { // erased
		return err
	}
	there, err := exists(ctx, to, to.SQL, known, customer)
	if err == nil && !there {
		return busyError("the new shard does not know the customer yet: its copy of the customers is behind")
	}
	return err
}

func exists(ctx context.Context, db *kit.DB, q queryer, query, customer string) (bool, error) {
	var one int
	err := q.QueryRowContext(ctx, db.Bind(query), customer).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
