package inboxkafka

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Hazard rebalance-during-poll.
// A partition is given up when nothing of it is under way any more, and not before: its next owner
// may begin in that moment. Its handler has the time of Grace while the partition is still ours,
// and none when it is not.
func TestAPartitionIsGivenUpWhenItsWorkHasEnded(t *testing.T) {
	const grace, cleanup = 15 * time.Second, 3 * time.Second
	for name, c := range map[string]struct {
		ours  bool
		needs time.Duration // of the handler, if it may
		takes time.Duration
	}{
		"a handler that ends within Grace":        {true, 10 * time.Second, 10 * time.Second},
		"a handler that does not is cancelled":    {true, time.Hour, grace + cleanup},
		"a lost partition's is cancelled at once": {false, 10 * time.Second, cleanup},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				consumer := &Consumer{cfg: Config{Grace: grace, KeyConcurrency: 1}, log: slog.New(slog.DiscardHandler)}
				m := consumer.newMember(t.Context(), nil, nil)
				defer m.cancel()
				p := m.newPartition(partitionName{"orders", 0})
				m.partitions[p.name] = p
				ended := false
				p.work.Go(func() {
					select {
					case <-time.After(c.needs):
					case <-p.ctx.Done():
						time.Sleep(cleanup) // a rollback takes its time, too
					}
					ended = true
				})
				begun := time.Now()
				m.giveUp([]*partition{p}, c.ours)
				require.True(t, ended)
				require.Equal(t, c.takes, time.Since(begun))
				require.Nil(t, m.partition(p.name))
				require.ErrorIs(t, p.ctx.Err(), context.Canceled)
			})
		})
	}
}
