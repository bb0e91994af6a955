package outboxwatermill_test

import (
	"context"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaywatermill"
)

// The whole way for a user of watermill-sql: a stock Publisher writes the rows, our
// relay delivers them, and a stock subscriber gets the messages that were published.
func TestTheRelayDeliversWhatWatermillSQLsPublisherWrote(t *testing.T) {
	onSQLServers(t, func(t *testing.T, db dbtest.Database) {
		dbtest.Migrate(t, db)
		msgs := someMessages()
		tx := begin(t, db.DB)
		require.NoError(t, newPublisher(t, tx, newAdapter(t, newOutbox(t, db))).Publish("orders", msgs...))
		require.NoError(t, tx.Commit())

		broker := gochannel.NewGoChannel(
			gochannel.Config{Persistent: true, BlockPublishUntilSubscriberAck: true}, watermill.NopLogger{},
		)
		defer func() { require.NoError(t, broker.Close()) }()
		received, err := broker.Subscribe(t.Context(), "orders")
		require.NoError(t, err)
		sink, err := relaywatermill.New(broker, relaywatermill.Options{})
		require.NoError(t, err)
		r, err := relay.New(relay.Config{DB: db.DB, Dialect: db.Dialect, Sink: sink})
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()

		got := make(map[string]*message.Message)
		for range msgs {
			msg := receive(t, received)
			msg.Ack()
			got[msg.UUID] = msg
		}
		stop()
		require.NoError(t, <-ended)
		for _, want := range msgs {
			require.Contains(t, got, want.UUID)
			require.Equal(t, string(want.Payload), string(got[want.UUID].Payload))
			for name, value := range want.Metadata {
				require.Equal(t, value, got[want.UUID].Metadata[name], name)
			}
		}
	})
}
