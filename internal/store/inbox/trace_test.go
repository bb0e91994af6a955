package inbox_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/store/inbox"
)

func TestAMessageIsFoundInTheInboxesOfAllConsumers(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, d dbtest.Database) {
		box, err := inbox.New(db.Names{Dialect: d.Dialect})
		require.NoError(t, err)
		id, other := uuid.NewString(), uuid.NewString()
		for _, row := range []inbox.Row{
			{Consumer: "billing", MessageID: id,
				Position: &inbox.Position{Topic: "orders", Partition: 3, Offset: 1 << 40}},
			{Consumer: "mail", MessageID: other}, {Consumer: "stock", MessageID: id},
		} {
			fresh, _, err := box.InsertMessage(t.Context(), d.DB, row)
			require.NoError(t, err)
			require.True(t, fresh)
		}
		exec(t, d.DB,
			"INSERT INTO inbox_attempts (consumer, message_id, attempts, last_error) VALUES ('mail', '"+
				id+"', 2, 'no route')")
		exec(t, d.DB,
			"INSERT INTO inbox_parked (consumer, message_id, topic, attempts, error) VALUES ('audit', '"+
				id+"', 'orders', 5, 'no such item')")

		all, err := box.TraceMessage(t.Context(), d.DB, id)
		require.NoError(t, err)
		require.Len(t, all, 4)
		for i, want := range []struct{ table, consumer, err string }{
			{db.InboxEvents, "billing", ""}, {db.InboxEvents, "stock", ""},
			{db.InboxAttempts, "mail", "no route"}, {db.InboxParked, "audit", "no such item"},
		} {
			require.Equal(t, want, struct{ table, consumer, err string }{all[i].Table, all[i].Consumer, all[i].Error})
			require.WithinDuration(t, time.Now(), all[i].At, time.Minute)
		}
		require.Equal(t, &inbox.Position{Topic: "orders", Partition: 3, Offset: 1 << 40}, all[0].Position)
		require.Nil(t, all[1].Position)
		require.Equal(t, 5, all[3].Attempts)
		require.Equal(t, "failed", all[3].State)

		all, err = box.TraceMessage(t.Context(), d.DB, uuid.NewString())
		require.NoError(t, err)
		require.Empty(t, all)

		exec(t, d.DB, "DROP TABLE inbox_parked")
		_, err = box.TraceMessage(t.Context(), d.DB, id)
		require.ErrorContains(t, err, "read inbox_parked: ")
		exec(t, d.DB, "DROP TABLE inbox_events")
		_, err = box.TraceMessage(t.Context(), d.DB, id)
		require.Equal(t, 1, strings.Count(err.Error(), "read inbox_events: "), err)
	})
}
