package watermillamqp

import (
	"testing"
	"testing/synctest"

	amqp091 "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
)

// Hazard channel-closed-for-one.
// The library marks a channel as closed before it says why. A message that fails in between is not an outage: the
// broker has closed the channel because of one of its messages.
func TestAMessageWaitsForTheReasonWhyItsChannelWasClosed(t *testing.T) {
	conn, err := amqp091.Dial(dbtest.AMQP(t))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	closed, err := conn.Channel()
	require.NoError(t, err)
	require.NoError(t, closed.Close())

	synctest.Test(t, func(t *testing.T) {
		closes, ended := make(chan *amqp091.Error, 1), make(chan struct{})
		c := &channel{amqp: closed, closes: closes, ended: ended}
		failed := make(chan error, 1)
		go func() { failed <- c.failure(nil) }()
		synctest.Wait()
		require.Empty(t, failed, "it said why without the reason")
		closes <- &amqp091.Error{Code: amqp091.NotFound, Server: true, Recover: true}
		close(ended)
		var reason *channelClosedError
		require.ErrorAs(t, <-failed, &reason)
	})
}
