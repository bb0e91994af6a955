package invariants_test

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/invariants"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/orders/eventstore"
	"github.com/postroom/postroom/examples/shop/orders/order"
	"github.com/postroom/postroom/examples/shop/orders/shards"
)

func TestTheTableHoldsOnEachKindOfDatabase(t *testing.T) {
	for kind, newURL := range map[string]func(testing.TB) string{
		"sqlite": kittest.SQLite, "postgresql": kittest.PostgreSQL, "mariadb": kittest.MariaDB,
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			require.Empty(t, newShop(t, newURL).broken(t.Context()))
		})
	}
}

func TestStuckOrdersAreListedWithTheirReason(t *testing.T) {
	t.Parallel()
	stuck, err := newShop(t, kittest.SQLite).auditor().Stuck(t.Context())
	require.NoError(t, err)
	require.Equal(t, []invariants.StuckOrder{{OrderID: "o3", Customer: "bob", Reason: "the account is closed"}}, stuck)
}

// faults are things that go wrong, each as a change of one database, and the rows that must turn false.
var faults = map[string]struct {
	database string // home: that of ada's orders; away: another shard
	change   string
	breaks   map[string]string // the rows, with the beginning of their figures
}{
	"an event is left": {"stock", "INSERT INTO outbox_events (topic) VALUES ('t')", map[string]string{
		"rest": "1 events in the outboxes of 7 databases, 0 left to read, 0 mails under way, " +
			"0 messages wait for a retry, 0 orders are under way",
	}},
	"an event is due later": {
		"home", "INSERT INTO outbox_scheduled (topic, deliver_at) VALUES ('t', '2099-01-01T00:00:00.000000Z')",
		map[string]string{"rest": "1 events in"},
	},
	"a mail is left": {"away", "INSERT INTO mail_outbox_events (topic) VALUES ('t')", map[string]string{
		"rest": "1 events in",
	}},
	"a mail has not arrived": {
		"notifications", "UPDATE emails SET message_id = 'm1'",
		map[string]string{"rest": "0 events in the outboxes of 7 databases, 0 left to read, 2 mails under way"},
	},
	"a message failed for good": {
		"stock", "INSERT INTO inbox_parked (consumer, message_id, topic) VALUES ('c', 'm', 't')",
		map[string]string{"parked": "0 events, 1 messages"},
	},
	"a message waits for a retry": {
		"stock", "INSERT INTO inbox_parked (consumer, message_id, topic, state) VALUES ('c', 'm', 't', 'retry')",
		map[string]string{
			"parked": "0 events, 1 messages",
			"rest":   "0 events in the outboxes of 7 databases, 0 left to read, 0 mails under way, 1 messages wait",
		},
	},
	"an order is lost": {
		"home", "DELETE FROM order_events WHERE stream = 'o2'; DELETE FROM order_streams WHERE stream = 'o2'",
		map[string]string{
			"accepted":    "3 accepted, 1 of them lost, 0 are in two shards, for example o2",
			"e-mails":     "3 e-mails, 2 were asked for",
			"read models": "2 orders in 2 models, 2 rows are wrong",
		},
	},
	"an order is in two shards": {
		"away", "INSERT INTO order_streams (stream, customer, version, at_rest) VALUES ('o1', 'ada', 0, 0)",
		map[string]string{
			"accepted": "3 accepted, 0 of them lost, 1 are in two shards, for example o1",
			"orders":   "1 confirmed, 1 cancelled, 1 stuck, 0 under way; 0 are wrong, 1 twice, for example o1",
			"shards":   "0 are not at home, 1 in two shards",
		},
	},
	"an order is in a shard that is not its customer's home": {
		"away", "", map[string]string{"shards": "1 are not at home, 0 in two shards"},
	},
	"an order has not ended": {
		"home", `DELETE FROM order_events WHERE stream = 'o1' AND version = 2;
			UPDATE order_streams SET version = 1, at_rest = 0 WHERE stream = 'o1';
			UPDATE order_sagas SET step = 'paying' WHERE order_id = 'o1'`,
		map[string]string{
			"rest": "", "orders": "3 orders: 0 confirmed, 1 cancelled, 1 stuck, 1 under way; 0 are wrong, 0 twice",
			"e-mails":     "3 e-mails, 2 were asked for; 0 are lost, 1 were written too often, for example o1 co",
			"read models": "",
		},
	},
	"a stream has a hole": {
		"home", "UPDATE order_events SET version = 3 WHERE stream = 'o1' AND version = 2",
		map[string]string{"orders": "3 orders: 1 confirmed, 1 cancelled, 1 stuck, 0 under way; 1 are wrong, 0 twice, " +
			"for example o1: version 3 follows 1"},
	},
	"a head is behind": {
		"home", "UPDATE order_streams SET version = 1 WHERE stream = 'o1'", map[string]string{"orders": ""},
	},
	"a head says that the order is under way": {
		"home", "UPDATE order_streams SET at_rest = 0 WHERE stream = 'o1'", map[string]string{"orders": ""},
	},
	"a head has another customer": {
		"home", "UPDATE order_streams SET customer = 'bob' WHERE stream = 'o1'", map[string]string{"orders": ""},
	},
	"a saga disagrees": {
		"home", "UPDATE order_sagas SET step = 'undone' WHERE order_id = 'o1'", map[string]string{"orders": ""},
	},
	"a saga is lost": {"home", "DELETE FROM order_sagas WHERE order_id = 'o1'", map[string]string{"orders": ""}},
	"a saga leads a choreographed order": {
		"home", "INSERT INTO order_sagas VALUES ('o2', 'undone', 1, '', '')", map[string]string{"orders": ""},
	},
	"money from nothing": {
		"payments", "UPDATE accounts SET balance_cents = 601 WHERE customer = 'ada'",
		map[string]string{"money": "1500 deposited, 901 in accounts, 600 paid; 1 accounts are wrong"},
	},
	"money goes to another account": {
		"payments", `UPDATE accounts SET balance_cents = 601 WHERE customer = 'ada';
			UPDATE accounts SET balance_cents = 299 WHERE customer = 'bob'`,
		map[string]string{"money": "1500 deposited, 900 in accounts, 600 paid; 2 accounts are wrong"},
	},
	"an article is lost": {"stock", "UPDATE items SET available = 6", map[string]string{
		"stock": "10 delivered, 6 available, 3 set aside, for orders 3; 1 articles are wrong",
	}},
	"an article is set aside for nobody": {"stock", "UPDATE items SET available = 5, reserved = 5", map[string]string{
		"stock": "10 delivered, 5 available, 5 set aside, for orders 3; 1 articles are wrong",
	}},
	"a compensation is missing": {
		"stock", `UPDATE reservations SET state = 'reserved' WHERE order_id = 'o2';
			UPDATE items SET available = 6, reserved = 4`,
		map[string]string{"paid and reserved": "1 confirmed orders have both, 1 orders are wrong, 1 are stuck, " +
			"for example o2 is cancelled, and has articles set aside"},
	},
	"a refund is missing": {
		"payments", `UPDATE payments SET state = 'taken', cents = 100 WHERE order_id = 'o2';
			UPDATE accounts SET balance_cents = 500 WHERE customer = 'ada'`,
		map[string]string{"paid and reserved": ""},
	},
	"too little was paid": {
		"payments", `UPDATE payments SET cents = 399 WHERE order_id = 'o1';
			UPDATE accounts SET balance_cents = 601 WHERE customer = 'ada'`,
		map[string]string{"paid and reserved": ""},
	},
	"too little is set aside": {
		"stock", `UPDATE reservation_items SET quantity = 1 WHERE order_id = 'o1';
			UPDATE items SET available = 8, reserved = 2`,
		map[string]string{"paid and reserved": ""},
	},
	"something is set aside for no order": {
		"stock", `INSERT INTO reservations VALUES ('o9', 'ada', '', 0, 'reserved', '');
			INSERT INTO reservation_items VALUES ('o9', 'pen', 1); UPDATE items SET available = 6, reserved = 4`,
		map[string]string{"paid and reserved": ""},
	},
	"an e-mail twice": {
		"notifications", "INSERT INTO emails VALUES ('m1', 'o1', 'confirmed', 0)",
		map[string]string{"e-mails": "4 e-mails, 3 were asked for; 0 are lost, 1 were written too often, " +
			"for example o1 confirmed"},
	},
	"an e-mail is lost": {
		"notifications", "DELETE FROM emails WHERE order_id = 'o1'",
		map[string]string{"e-mails": "2 e-mails, 3 were asked for; 1 are lost, 0 were written too often, " +
			"for example o1 confirmed"},
	},
	"an e-mail of another kind": {
		"notifications", "UPDATE emails SET kind = 'cancelled' WHERE order_id = 'o1'",
		map[string]string{"e-mails": "3 e-mails, 3 were asked for; 1 are lost, 1 were written too often"},
	},
	"a copy has an old name": {
		"away", "UPDATE customers SET name = 'A.' WHERE id = 'ada'",
		map[string]string{"replica": "3 customers in 3 copies, 1 rows are wrong, for example ada in orders_"},
	},
	"a copy has an old e-mail address": {
		"home", "UPDATE customers SET email = 'a@b' WHERE id = 'ada'", map[string]string{"replica": ""},
	},
	"a copy has an old version": {
		"home", "UPDATE inbox_replica_rows SET version = 1 WHERE row_key = 'ada'", map[string]string{"replica": ""},
	},
	"a copy lacks a customer": {
		"home", "DELETE FROM customers WHERE id = 'ada'; DELETE FROM inbox_replica_rows WHERE row_key = 'ada'",
		map[string]string{"replica": ""},
	},
	"an erased customer comes back": {
		"home", "INSERT INTO customers VALUES ('eve', 'Eve', 'e@b')", map[string]string{"replica": ""},
	},
	"a copy has somebody who is no customer": {
		"home", "INSERT INTO customers VALUES ('dan', 'Dan', 'd@b')", map[string]string{"replica": ""},
	},
	"the gateway has an old name": {
		"gateway", "UPDATE customer_view SET name = 'A.' WHERE customer = 'ada'",
		map[string]string{"replica": "3 customers in 3 copies, 1 rows are wrong, for example ada in gateway"},
	},
	"the gateway has an erased customer": {
		"gateway", "UPDATE customer_view SET erased = 0, name = 'Eve' WHERE customer = 'eve'",
		map[string]string{"replica": ""},
	},
	"the gateway shows an old state": {
		"gateway", "UPDATE order_view SET status = 'placed' WHERE order_id = 'o1'",
		map[string]string{"read models": "3 orders in 2 models, 1 rows are wrong, for example o1 in the gateway"},
	},
	"the gateway shows no articles": {
		"gateway", `UPDATE order_view SET body = replace(body, '"items":[{"sku":"pen","quantity":2}]', '"items":null')
			WHERE order_id = 'o1'`,
		map[string]string{"read models": ""},
	},
	"the gateway shows another price": {
		"gateway", `UPDATE order_view SET body = replace(body, '"cents":400', '"cents":4')`,
		map[string]string{"read models": ""},
	},
	"the gateway lacks an order": {
		"gateway", "DELETE FROM order_view WHERE order_id = 'o1'", map[string]string{"read models": ""},
	},
	"the list shows an old version": {
		"orders_1", "UPDATE order_view SET version = 1 WHERE order_id = 'o1'",
		map[string]string{"read models": "3 orders in 2 models, 1 rows are wrong, for example o1 in the list"},
	},
	"the list has an order that is none": {
		"orders_1", "INSERT INTO order_view VALUES (1, 'o9', 'ada', 'placed', '', 1, 1)",
		map[string]string{"read models": ""},
	},
	"a cached order is old": {
		"gateway", "UPDATE order_view SET revision = 4 WHERE order_id = 'o1'",
		map[string]string{"caches": "3 values in Redis, 1 versions in them are old, " +
			"for example response:/orders/o1 has version 3 of order:1:o1, which is at 4"},
	},
	"a cached customer is old": {
		"gateway", "UPDATE customer_view SET version = 3 WHERE customer = 'ada'",
		map[string]string{"caches": "3 values in Redis, 2 versions in them are old", "replica": ""},
	},
	"the cache has answers of the model before the last rebuild": {
		"gateway", `UPDATE view_generations SET generation = 2; UPDATE order_view SET generation = 2;
			UPDATE customer_orders SET generation = 2; UPDATE customer_view SET generation = 2`,
		map[string]string{"caches": "3 values in Redis, 3 versions in them are old"},
	},
	"a cached page is old": {
		"gateway", "UPDATE customer_orders SET revision = 5 WHERE customer = 'ada'", map[string]string{"caches": ""},
	},
	"a customer's home is elsewhere": {
		"home", "UPDATE shard_customers SET state = 'moved' WHERE customer = 'ada'",
		map[string]string{"shards": "2 are not at home, 0 in two shards"},
	},
}

func TestEachFaultBreaksItsRow(t *testing.T) {
	right := newShop(t, kittest.SQLite).copies()
	for fault, tc := range faults {
		t.Run(fault, func(t *testing.T) {
			s := right(t)
			places := map[string]string{"home": s.home("ada"), "away": s.away("ada")}
			database := cmp.Or(places[tc.database], tc.database)
			s.prepare(fault)
			if tc.change != "" {
				s.exec(database, tc.change)
			}
			broken := s.broken(t.Context())
			require.Equal(t, slices.Sorted(maps.Keys(tc.breaks)), slices.Sorted(maps.Keys(broken)), "%v", broken)
			for row, says := range tc.breaks {
				require.Contains(t, broken[row], says)
			}
		})
	}
}

// prepare does what one statement cannot.
func (s *shop) prepare(fault string) {
	s.t.Helper()
	switch fault {
	case "a mail has not arrived":
		columns := []string{"id", "event_id", "topic", "event_type", "headers", "created_at"}
		for id := range 3 {
			s.insert(s.databases["orders_1"], "mail_outbox_archive", columns,
				id, "m", "t", "", "{}", "2026-11-30T10:00:00.000000Z")
		}
	case "an order is in a shard that is not its customer's home":
		s.shards = []shards.Shard{{Name: s.away("bob"), DB: s.databases[s.away("bob")]}} // the code has forgotten one
		s.order(placed("o4", "bob", events.Choreographed, 1, 100), "", func(o order.Order) ([]eventstore.Event, error) {
			return order.Cancel(o, events.ReasonStockShort)
		})
		s.insert(s.databases["notifications"], "emails", []string{"message_id", "order_id", "kind", "made_at"},
			"m4", "o4", "cancelled", 0)
	}
}

// An erased customer has no address, so that nobody can be asked for the e-mail.
func TestAnErasedCustomerMayLackAnEmail(t *testing.T) {
	t.Parallel()
	s := newShop(t, kittest.SQLite)
	s.exec("notifications", "DELETE FROM emails WHERE order_id = 'o1'")
	require.Contains(t, s.broken(t.Context()), "e-mails")
	s.exec("customers",
		"UPDATE customers SET name = '', email = '', erased_at = '2026-11-30 10:00:00' WHERE id = 'ada'")
	require.NotContains(t, s.broken(t.Context()), "e-mails")
}

// The floor is above the value: the cache does not give it away.
func TestAnOldValueBelowItsFloorIsNoAnswer(t *testing.T) {
	t.Parallel()
	s := newShop(t, kittest.SQLite)
	s.exec("gateway", "UPDATE order_view SET revision = 4 WHERE order_id = 'o1'")
	require.Contains(t, s.broken(t.Context()), "caches")
	require.NoError(t, s.redis.Set(s.kafka.Prefix+"shop:floor:order:1:o1", "4"))
	require.Empty(t, s.broken(t.Context()))
}

func TestABrokerThatDoesNotAnswerIsARowThatDoesNotHold(t *testing.T) {
	t.Parallel()
	s := newShop(t, kittest.SQLite)
	s.redis.Close()
	require.Contains(t, s.broken(t.Context())["caches"], "Redis does not answer")
}

// Services do not run: what is in a topic is left to read, for each of its consumers.
func TestAConsumerThatIsBehindIsNotAtRest(t *testing.T) {
	t.Parallel()
	s := newShop(t, kittest.SQLite)
	s.options.Kafka = s.kafka
	require.Empty(t, s.broken(t.Context()), "the topics are empty")
	kittest.SendAs(t, s.kafka, "m", "stock", "o1", "stock.reserved", []byte("{}"))
	require.Contains(t, s.broken(t.Context())["rest"], "3 left to read", "by orders, payments and the gateway")
}
