package customers_test

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/inbox/replica"
)

// The copy is the one of a shard of orders: this test may not import orders.
func TestTheComparisonOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../../docs/patterns/synchronisation.md")
	require.NoError(t, err)
	command := regexp.MustCompile(`(?m)^echo .*\|\n +go run ./cmd/relay compare .*$`).FindString(string(page))
	require.NotEmpty(t, command, "the page has no command")

	kafka, source, copied := kittest.Kafka(t), kittest.PostgreSQL(t), kittest.PostgreSQL(t)
	db, of := kittest.Open(t, source), kittest.Open(t, copied)
	_, h := newService(t, db, kafka)
	kittest.Relay(t, db, kafka)
	require.NoError(t, of.Exec(t.Context(), `CREATE TABLE customers (
		id VARCHAR(36) NOT NULL PRIMARY KEY, name VARCHAR(200) NOT NULL, email VARCHAR(320) NOT NULL)`))
	customers, err := replica.New(of.Dialect, replica.Config{
		Table: "customers", Key: []string{"id"}, Columns: []string{"name", "email"},
	})
	require.NoError(t, err)
	consumer, err := kafka.Consumer(of, "customers-of-orders-1", kittest.Quiet(), events.Customers)
	require.NoError(t, err)
	kittest.Run(t, func(ctx context.Context) error { return consumer.RunBatch(ctx, customers.BatchHandler(nil)) })

	id, erased := create(t, h, "Ada").ID, create(t, h, "Bob").ID
	kittest.Do(h, "PATCH", "/customers/"+id, `{"name":"Ada L."}`)
	kittest.Do(h, "DELETE", "/customers/"+erased, "")
	compare := func(options string) string {
		t.Helper()
		shell := exec.CommandContext(t.Context(), "bash", "-c", command+options)
		shell.Dir = "../../.."
		shell.Env = append(os.Environ(), "POSTROOM_DATABASE_URL="+source, "POSTROOM_INBOX_DATABASE_URL="+copied)
		out, err := shell.CombinedOutput()
		if err == nil {
			return ""
		}
		return string(out)
	}
	require.Eventually(t, func() bool {
		var names string
		err := of.SQL.QueryRow("SELECT COALESCE(string_agg(name, ','), '') FROM customers").Scan(&names)
		return err == nil && names == "Ada L."
	}, kittest.Patience, 10*time.Millisecond)
	require.Empty(t, compare(""))

	_, err = of.SQL.Exec("UPDATE customers SET email = 'old@example.com'")
	require.NoError(t, err)
	_, err = of.SQL.Exec("INSERT INTO customers VALUES ('" + erased + "', 'Bob', 'b@example.com')")
	require.NoError(t, err)
	said := compare(" --wait 100ms")
	for kind, key := range map[string]string{replica.Different: id, replica.Extra: erased} {
		require.True(t, regexp.MustCompile(kind+`\s.*`+key).MatchString(said), said)
	}
	require.NotContains(t, strings.ToLower(said), "example.com", "values are shown")
}
