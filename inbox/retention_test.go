package inbox_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
)

func TestTheInboxIsKeptPrunedAndTellsItsWindow(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		pauses := 0
		ctx, cancel := context.WithCancel(t.Context())
		ib := b.inbox(t, "billing", inbox.WithSleep(func(ctx context.Context, d time.Duration) error {
			require.Equal(t, time.Minute, d)
			if pauses++; pauses == 2 {
				cancel()
			} else {
				b.makeOlder(t, 3*time.Hour)
			}
			return ctx.Err()
		}))
		window, err := ib.Window(ctx, b.DB)
		require.NoError(t, err)
		require.Zero(t, window)
		guarded := inbox.Message{ID: "guarded", Position: &inbox.Position{Topic: "orders", Offset: 50}}
		for _, m := range []inbox.Message{{ID: "old"}, guarded} {
			require.True(t, b.accept(t, ib, m))
		}
		var rounds []inbox.Pruned
		require.NoError(t, ib.KeepPruned(ctx, b.DB, inbox.Retention{
			Every:    time.Minute,
			OnPruned: func(p inbox.Pruned) { rounds = append(rounds, p) },
			PruneOptions: inbox.PruneOptions{Retention: time.Hour, Margin: -1,
				Committed: func(context.Context, string, int32) (int64, error) {
					return 10, nil
				}},
		}))
		require.Len(t, rounds, 2)
		require.Zero(t, rounds[0].Deleted)
		require.Less(t, rounds[0].Window, time.Hour)
		require.EqualValues(t, 1, rounds[1].Deleted)
		require.NoError(t, rounds[1].Err)
		require.InDelta(t, 3*time.Hour, rounds[1].Window, float64(time.Hour),
			"what the committed offset guards is kept")
	})
}

func TestARoundThatFailsIsTold(t *testing.T) {
	b := onSQLite(t)
	ctx, cancel := context.WithCancel(t.Context())
	ib := b.inbox(t, "billing")
	require.True(t, b.accept(t, ib, inbox.Message{ID: "m", Position: &inbox.Position{Topic: "orders", Offset: 5}}))
	b.makeOlder(t, 3*time.Hour)
	errKafka := errors.New("no broker")
	require.NoError(t, ib.KeepPruned(ctx, b.DB, inbox.Retention{
		OnPruned: func(p inbox.Pruned) {
			require.ErrorIs(t, p.Err, errKafka)
			cancel()
		},
		PruneOptions: inbox.PruneOptions{Retention: time.Hour,
			Committed: func(context.Context, string, int32) (int64, error) { return 0, errKafka }},
	}))
}

func TestARetentionShorterThanTheRetryWindowIsRefused(t *testing.T) {
	b := onSQLite(t)
	ib := b.inbox(t, "billing", inbox.WithMaxAttempts(4), inbox.WithBackoff(time.Minute, 3*time.Minute))
	err := ib.KeepPruned(t.Context(), b.DB,
		inbox.Retention{PruneOptions: inbox.PruneOptions{Retention: 5 * time.Minute}})
	require.ErrorIs(t, err, inbox.ErrShortRetention)
	require.ErrorContains(t, err, "4 attempts take up to 6m0s")
	require.ErrorIs(t, ib.KeepPruned(t.Context(), b.DB, inbox.Retention{}), inbox.ErrNoRetention)
	require.ErrorContains(t, ib.KeepPruned(t.Context(), b.DB, inbox.Retention{Every: -1}), "Every")
}
