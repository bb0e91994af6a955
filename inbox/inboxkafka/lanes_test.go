package inboxkafka_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbtest"
)

// Lanes: messages of one key stay in order, a slow key does not stop the others, and the
// group's offset does not pass it.
func TestKeysOfAPartitionAreHandledBesideOneAnother(t *testing.T) {
	for _, mode := range []inboxkafka.Mode{inboxkafka.PerMessage, inboxkafka.Batch} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dbtest.PostgreSQL(t), 1)
			var all []string
			for i := range 64 {
				all = append(all, fmt.Sprintf("k%02d:%02d", i%16, i/16))
			}
			w.produce(t, 0, append([]string{"slow:a"}, all...)...)
			w.produce(t, 0, ids("no key ", 16)...)
			cfg := w.config(t, mode)
			cfg.KeyConcurrency = 16
			slow := make(chan struct{})
			r := consume(t, cfg, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
				if m.Key == "slow" {
					<-slow
				}
				return w.effect(ctx, tx, m)
			})
			// The lane of the slow key has up to a few of the others.
			w.awaitEffects(t, 40)
			require.LessOrEqual(t, w.committed(t), int64(0), "never past an unfinished message")
			close(slow)
			got := w.awaitEffects(t, 81)
			r.end(t)
			require.Len(t, got, 81)
			require.Equal(t, int64(81), w.committed(t))
			last := make(map[string]string)
			for _, id := range got {
				key, _, keyed := strings.Cut(id, ":")
				require.True(t, !keyed || id > last[key], "order of %s", key)
				last[key] = id
			}
		})
	}
}
