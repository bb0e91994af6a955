package view

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/gateway/cache"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/inbox"
)

// A gateway that has not noticed the switch goes on to fill the old generation, and leaves nothing of people in it.
func TestADeletedGenerationStaysEmpty(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		raise := func(context.Context, cache.Versions) error { return nil }
		m, err := New(t.Context(), db, kit.Kafka{}, raise, kittest.Quiet())
		require.NoError(t, err)
		project := func(name string) (rows int) {
			t.Helper()
			created := inbox.Message{
				ID: name, Topic: events.Customers, Key: name, Type: events.CustomerCreated,
				Payload: []byte(`{"id":"` + name + `","name":"` + name + `","email":"a@example.com","version":1}`),
			}
			require.NoError(t, db.Tx(t.Context(), func(tx *sql.Tx) error {
				return m.project(1)(t.Context(), tx, []inbox.Message{created})
			}))
			require.NoError(t, db.SQL.QueryRow("SELECT COUNT(*) FROM customer_view").Scan(&rows))
			return rows
		}
		require.Equal(t, 1, project("Ada"))
		for _, state := range []string{retired, deleted} {
			_, err = db.SQL.Exec("UPDATE view_generations SET state = '" + state + "'")
			require.NoError(t, err)
			require.Equal(t, 1, project("Bob"), state)
		}
		_, err = db.SQL.Exec("UPDATE view_generations SET state = 'retired'")
		require.NoError(t, err)
		require.NoError(t, m.DeleteRetired(t.Context()))
		require.Equal(t, 0, project("Bob"))
	})
}
