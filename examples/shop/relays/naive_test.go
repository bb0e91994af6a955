package relays

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/rules"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaytest"
)

// The naive way of rules.KeyOrder. The clock is synctest's: it runs when everybody waits.
func TestWithoutTheOrderOfAKeyEventsOvertakeEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broker{topics: map[string][]relaytest.Message{}}
		switches, err := rules.Parse("key-order")
		require.NoError(t, err)
		acknowledged := map[string]error{}
		session, err := withFaults(b, nil, switches).Open(t.Context(), func(r *relay.Record, err error) {
			require.NotContains(t, acknowledged, r.Type, "each record has one outcome")
			acknowledged[r.Type] = err
		})
		require.NoError(t, err)
		deliver := func(from, to int) {
			for n := from; n <= to; n++ {
				session.Deliver(t.Context(), []*relay.Record{{
					EventID: uuid.New(), Topic: "orders", Key: []byte("o1"), Type: fmt.Sprint(n),
					Payload: fmt.Append(nil, n),
				}})
			}
		}
		published := func() (order []string) {
			for _, m := range b.published("orders") {
				order = append(order, string(m.Value))
			}
			return order
		}
		deliver(1, 4)
		require.Equal(t, []string{"1", "2", "4", "3"}, published())

		deliver(5, 7)
		time.Sleep(lateBy)
		synctest.Wait()
		require.Equal(t, []string{"1", "2", "4", "3", "5", "6", "7"}, published(), "nothing overtook the last one")

		deliver(8, 10)
		session.Close()
		require.ErrorIs(t, acknowledged["10"], relay.ErrGivenUp, "the next session publishes it")
		time.Sleep(lateBy)
		synctest.Wait()
		require.Len(t, published(), 9)
		require.Len(t, acknowledged, 10)

		session, err = withFaults(b, nil, switches).Open(t.Context(), func(*relay.Record, error) {})
		require.NoError(t, err)
		require.NoError(t, switches.Set(rules.KeyOrder, true))
		deliver(11, 13)
		require.Equal(t, []string{"11", "12", "13"}, published()[9:], "with the rule nothing waits")
	})
}
