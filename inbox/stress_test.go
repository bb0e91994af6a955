package inbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
)

// Properties:
//
//   - each message's effect is there exactly once;
//   - exactly one delivery of each says Applied, and all others Duplicate;
//   - the balance is the sum of the messages.
func TestAThousandMessagesRedeliveredByEightConsumersTakeEffectOnce(t *testing.T) {
	const messages, consumers, copies = 1000, 8, 3
	each(t, func(t *testing.T, b bench) {
		deliveries := make([]int, 0, messages*copies)
		for n := range messages {
			for range copies {
				deliveries = append(deliveries, n)
			}
		}
		// Copies stay near each other, so that they meet while the first is under way.
		for i := range deliveries {
			j := min(i+rand.IntN(24), len(deliveries)-1)
			deliveries[i], deliveries[j] = deliveries[j], deliveries[i]
		}
		queue := make(chan int, len(deliveries))
		for _, n := range deliveries {
			queue <- n
		}
		close(queue)

		ib := b.inbox(t, "billing", inbox.WithMaxAttempts(100))
		var applied, duplicates, failures atomic.Int64
		var running sync.WaitGroup
		for range consumers {
			running.Go(func() {
				for n := range queue {
					outcome, err := ib.Process(t.Context(), b.DB, inbox.Message{ID: fmt.Sprint("message ", n)},
						b.flaky(n, &failures))
					if err != nil {
						t.Errorf("message %d: %v", n, err)
					}
					switch outcome {
					case inbox.Applied:
						applied.Add(1)
					case inbox.Duplicate:
						duplicates.Add(1)
					}
				}
			})
		}
		running.Wait()
		require.Equal(t, int64(messages), applied.Load())
		require.Equal(t, int64(messages*(copies-1)), duplicates.Load())
		require.Positive(t, failures.Load(), "some attempts failed on purpose")
		require.Equal(t, messages, b.effects(t))
		require.Equal(t, messages, b.count(t, "SELECT count(DISTINCT message_id) FROM effects"))
		require.Equal(t, messages*(messages-1)/2, b.count(t, "SELECT sum(balance) FROM accounts"))
	})
}

// flaky adds n to an account and fails one time in ten, after its writes.
func (b bench) flaky(n int, failures *atomic.Int64) func(context.Context, *sql.Tx) error {
	return func(ctx context.Context, tx *sql.Tx) error {
		if err := b.effect(fmt.Sprint(n))(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, b.sql("UPDATE accounts SET balance = balance + ? WHERE id = ?"), n,
			1+n%2); err != nil {
			return err
		}
		if rand.IntN(10) == 0 {
			failures.Add(1)
			return errHandler
		}
		return nil
	}
}
