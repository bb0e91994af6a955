//go:build unix

package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestARunOnRabbitMQMustHaveCutConnectionsToTheBroker(t *testing.T) {
	r := &run{account: &account{}, settings: Settings{Broker: RabbitMQ, Relays: 1, Duration: time.Minute}}
	enough := Blows{TableLocks: 1, RowLocks: 1, LeaseLocks: 1, Bursts: 1, BrokerCuts: 5}
	r.trouble = &trouble{blows: enough}
	require.Empty(t, r.missing())
	r.trouble.blows.BrokerCuts = 4
	require.Equal(t, []string{"4 cuts of connections to the broker, wanted were at least 5"}, r.missing())
	r.settings.Broker = Kafka
	require.Empty(t, r.missing(), "there the relays' connections are not cut one by one")
}

func TestOnlyAWayWithAConnectionIsCut(t *testing.T) {
	w := echoing(t)
	require.False(t, w.cut())
	conn := dialled(t, w)
	said(t, conn, "hello")
	require.Equal(t, "hello", heard(t, conn))
	require.True(t, w.cut())
	require.False(t, w.cut(), "the same connection counts once")
	_, err := conn.Read(make([]byte, 1))
	require.Error(t, err)
}
