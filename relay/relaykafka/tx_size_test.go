package relaykafka_test

import (
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

func TestATransactionIsBoundedByRecordsAndByBytes(t *testing.T) {
	for name, cfg := range map[string]relaykafka.Config{
		"records": {TransactionRecords: 10},
		"bytes":   {TransactionBytes: 10 * 1000},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := fakeTx(t, kfake.SeedTopics(1, "orders"))
			cfg.Brokers, cfg.Logger = w.brokers, quiet()
			w.cfg = cfg
			turn := w.open(nil)
			records := numbered(1, 95, 7, "orders")
			turn.commit(records...)
			require.GreaterOrEqual(t, len(committed(t, w.brokers, w.manifest())), 5)
			turn.Close()
			for _, part := range committed(t, w.brokers, w.manifest()) {
				require.Less(t, len(part.Value), 600)
			}
			require.Equal(t, sentOf(records...), w.open(nil).sent())
		})
	}
}

// On this network a transaction of the size that Config allows takes longer than allowed. Each next
// transaction is smaller, until one succeeds.
func TestASlowNetworkGetsSmallerTransactions(t *testing.T) {
	w, _ := fakeTx(t, kfake.SeedTopics(1, "orders"))
	w.cfg.ExtraOptions = []kgo.Opt{kgo.Dialer((&slowNetwork{perSecond: 200_000}).dial)}
	sink := newSink(t, relaykafka.WithTransactionTimeout(w.cfg, time.Second))
	var records []*relay.Record
	for i := range int64(80) { // they take four seconds
		records = append(records, record(i+1, "orders", "k", bytes.Repeat([]byte{byte(i)}, 10_000)))
	}
	attempts := 0
	for left := records; len(left) > 0; attempts++ {
		require.Less(t, attempts, 20)
		got := newAnswers()
		session, err := sink.OpenTransactional(w.ctx(), w.source, nil, got.ack)
		require.NoError(t, err)
		session.Deliver(w.ctx(), left)
		var again []*relay.Record
		for i, err := range got.wait(t, left...) {
			if err != nil {
				again = append(again, left[i])
			}
		}
		left = again
		session.Close()
	}
	require.Greater(t, attempts, 1, "all was through at once")
	require.Equal(t, wantedIDs(records...), eventIDs(committed(t, w.brokers, "orders")))
}

// slowNetwork lets only a number of bytes a second through to the broker.
type slowNetwork struct{ perSecond int }

func (n *slowNetwork) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	return &slowConn{conn, n}, err
}

type slowConn struct {
	net.Conn
	network *slowNetwork
}

func (c *slowConn) Write(p []byte) (written int, err error) {
	for len(p) > 0 && err == nil {
		n := min(len(p), c.network.perSecond/20)
		<-time.After(time.Second * time.Duration(n) / time.Duration(c.network.perSecond))
		n, err = c.Conn.Write(p[:n])
		written, p = written+n, p[n:]
	}
	return written, err
}
