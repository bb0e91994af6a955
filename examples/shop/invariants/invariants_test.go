package invariants_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/examples/shop/invariants"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/notifications"
	"github.com/postroom/postroom/examples/shop/payments"
	"github.com/postroom/postroom/examples/shop/stock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What is at rest and right: one completed order, and one of which nothing is left.
var right = map[string][]string{
	"payments": {
		"INSERT INTO accounts (customer, balance_cents, deposited_cents, closed) VALUES ('ada', 600, 1000, false)",
		`INSERT INTO payments (order_id, customer, flow, cents, state, reason)
			VALUES ('o1', 'ada', '', 400, 'taken', ''), ('o2', 'ada', '', 300, 'refunded', '')`,
	},
	"stock": {
		"INSERT INTO items (sku, available, reserved, delivered) VALUES ('pen', 8, 2, 10)",
		`INSERT INTO reservations (order_id, customer, flow, cents, state, short)
			VALUES ('o1', 'ada', '', 400, 'reserved', ''), ('o2', 'ada', '', 300, 'released', '')`,
		"INSERT INTO reservation_items (order_id, sku, quantity) VALUES ('o1', 'pen', 2), ('o2', 'pen', 1)",
	},
	"notifications": {"INSERT INTO emails (message_id, order_id, kind, made_at) VALUES ('m1', 'o1', 'confirmed', 0)"},
}

// newShop makes the services' databases with those rows.
func newShop(t *testing.T, newURL func(testing.TB) string) (*invariants.Auditor, map[string]*kit.DB) {
	t.Helper()
	urls, databases := map[string]string{}, map[string]*kit.DB{}
	kafka, mails := kittest.Kafka(t), kit.Mails{InProcess: kit.NewMailChannel()}
	t.Cleanup(func() { require.NoError(t, mails.InProcess.Close()) })
	for name := range right {
		urls[name] = newURL(t)
		databases[name] = kittest.Open(t, urls[name])
	}
	_, err := payments.New(t.Context(), databases["payments"], kafka, kittest.Quiet())
	require.NoError(t, err)
	_, err = stock.New(t.Context(), databases["stock"], kafka, kittest.Quiet())
	require.NoError(t, err)
	_, err = notifications.New(t.Context(), databases["notifications"], kafka, mails, kittest.Quiet())
	require.NoError(t, err)
	for name, statements := range right {
		require.NoError(t, databases[name].Exec(t.Context(), statements...))
	}
	auditor, err := invariants.Open(t.Context(), urls)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, auditor.Close()) })
	return auditor, databases
}

func broken(t *testing.T, auditor *invariants.Auditor) (names []string) {
	t.Helper()
	rows, err := auditor.Check(t.Context())
	require.NoError(t, err)
	require.Len(t, rows, 6)
	for _, row := range rows {
		require.NotEmpty(t, row.Reason)
		if !row.Holds {
			names = append(names, row.Name+": "+row.Figures)
		}
	}
	return names
}

func TestTheTableHoldsOnEachKindOfDatabase(t *testing.T) {
	for kind, newURL := range map[string]func(testing.TB) string{
		"sqlite": kittest.SQLite, "postgresql": kittest.PostgreSQL, "mariadb": kittest.MariaDB,
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			auditor, _ := newShop(t, newURL)
			require.Empty(t, broken(t, auditor))
		})
	}
}

func TestEachFaultBreaksItsRow(t *testing.T) {
	for fault, tc := range map[string]struct{ database, statement, says string }{
		"an event is left": {
			"stock", "INSERT INTO outbox_events (topic) VALUES ('t')", "rest: 1 events in the outboxes of 3 databases",
		},
		"money from nothing": {
			"payments", "UPDATE accounts SET balance_cents = 601",
			"money: 1000 deposited, 601 in accounts, 400 paid; 0 accounts below 0",
		},
		"an article is lost": {
			"stock", "UPDATE items SET available = 7",
			"stock: 10 delivered, 7 available, 2 set aside, for orders 2; 1 articles are wrong",
		},
		"an order is set aside twice": {
			"stock", "UPDATE items SET available = 6, reserved = 4",
			"stock: 10 delivered, 6 available, 4 set aside, for orders 2; 0 articles are wrong",
		},
		"a compensation is missing": {
			"stock", "INSERT INTO reservations VALUES ('o3', 'ada', '', 0, 'reserved', '')",
			"paid and reserved: 1 orders have both, 0 have only paid, 1 are only reserved",
		},
		"an e-mail twice": {
			"notifications", "INSERT INTO emails VALUES ('m1', 'o1', 'confirmed', 0)", "e-mails: 2 e-mails of 1 events",
		},
	} {
		t.Run(fault, func(t *testing.T) {
			auditor, databases := newShop(t, kittest.SQLite)
			require.NoError(t, databases[tc.database].Exec(t.Context(), tc.statement))
			require.Equal(t, []string{tc.says}, broken(t, auditor))
		})
	}
}
