package inboxkafka_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbtest"
)

// polled counts the records that a client has handed to its consumer.
type polled struct {
	mu sync.Mutex
	by map[int32]int // partition
}

func (p *polled) OnFetchRecordUnbuffered(r *kgo.Record, handed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if handed {
		p.by[r.Partition]++
	}
}

func (p *polled) of(partition int32) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.by[partition]
}

// fill writes batches of 10 records of 1 KiB. inSmallFetches has a client get one at a time.
func (w world) fill(t *testing.T, partition int32, prefix string, batches int) {
	t.Helper()
	for n := range batches {
		records := make([]*kgo.Record, 10)
		for i := range records {
			records[i] = w.record(partition, fmt.Sprintf("%s%02d-%d", prefix, n, i))
			records[i].Value = bytes.Repeat([]byte("x"), 1<<10)
		}
		require.NoError(t, w.producer.ProduceSync(t.Context(), records...).FirstErr())
	}
}

func inSmallFetches(cfg *inboxkafka.Config) *polled {
	counts := &polled{by: make(map[int32]int)}
	cfg.Options = append(cfg.Options, kgo.FetchMaxPartitionBytes(12<<10), kgo.WithHooks(counts),
		kgo.HeartbeatInterval(200*time.Millisecond))
	return counts
}

// A partition that stands still is paused, in each mode: the other goes on, and memory is bounded. Both
// are fetched together, so that each batch of the one would bring one of the other.
func TestASlowPartitionIsPausedAndTheOtherFlows(t *testing.T) {
	for name, set := range map[string]func(*inboxkafka.Config){
		"by messages": func(cfg *inboxkafka.Config) { cfg.Buffer = 20 },
		"by bytes":    func(cfg *inboxkafka.Config) { cfg.BufferBytes = 20 << 10 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, mode := range allModes {
				w := newWorld(t, dbtest.PostgreSQL(t), 2)
				w.fill(t, 0, "slow", 15)
				w.fill(t, 1, "fast", 15)
				cfg := w.config(t, mode)
				cfg.MaxBatch, cfg.Buffer = 10, 10_000
				set(&cfg)
				counts := inSmallFetches(&cfg)
				slow := make(chan struct{})
				release := sync.OnceFunc(func() { close(slow) })
				defer release()
				r := consume(t, cfg, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
					if m.Position.Partition == 0 {
						<-slow
					}
					return w.effect(ctx, tx, m)
				})
				require.Eventually(t, func() bool {
					return w.count(
						t, "SELECT count(*) FROM effects WHERE message_id LIKE 'fast%'") == 150
				}, patience, 20*time.Millisecond)
				// The batch in the handler, the buffer, what came with the poll that filled it, and one
				// that was fetched beside it.
				require.LessOrEqual(t, counts.of(0), 10+20+10+10, mode)
				release()
				w.awaitEffects(t, 300)
				w.produce(t, 0, "resumed")
				w.awaitEffects(t, 301)
				r.end(t)
			}
		})
	}
}

// A partition that was paused when it was taken away flows when it comes back.
func TestAPausedPartitionThatComesBackFlows(t *testing.T) {
	w := newWorld(t, dbtest.PostgreSQL(t), 2)
	w.fill(t, 0, "p0-", 10)
	w.fill(t, 1, "p1-", 10)
	cfg := w.config(t, inboxkafka.Batch)
	cfg.MaxBatch, cfg.Buffer, cfg.Grace = 10, 20, 50*time.Millisecond
	log := newLog()
	cfg.Logger = log.logger()
	counts := inSmallFetches(&cfg)
	slow := make(chan struct{})
	r := consume(t, cfg, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		select {
		case <-slow:
			return w.effect(ctx, tx, m)
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	require.Eventually(t, func() bool { return counts.of(0) >= 30 && counts.of(1) >= 30 }, patience,
		20*time.Millisecond)
	second := consume(t, w.config(t, inboxkafka.Batch), w.effect)
	log.awaits(t, "inboxkafka: revoked", 1)
	w.awaitEffects(t, 100)
	second.end(t)
	log.awaits(t, "inboxkafka: assigned", 3)
	w.produce(t, 0, "back0")
	w.produce(t, 1, "back1")
	close(slow)
	w.awaitEffects(t, 202)
	r.end(t)
}
