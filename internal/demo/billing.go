package demo

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/relay"
)

const (
	copyEvery  = 9  // every ninth message is handled twice
	goBack     = 25 // messages of each partition that are read again at half time
	pollAtMost = 200
)

// billing writes an invoice for each order, in its own database.
type billing struct {
	db     *sql.DB
	client *kgo.Client
	stats  *stats

	// process is the inbox's Process. Tests replace it to remove the inbox.
	process func(context.Context, *sql.DB, inbox.Message, func(context.Context, *sql.Tx) error) (inbox.Outcome, error)

	joined chan struct{} // closed when the consumer has its partitions
	again  atomic.Bool   // set to make run read messages again

	// Only run uses these:
	handed int             // number of messages
	ids    map[string]bool // ids of messages

	mu   sync.Mutex
	next map[int32]int64 // the next offset of each partition
}

// Only the inbox keeps duplicate invoices out of this table: order_id has no unique constraint.
const billingTables = `
CREATE TABLE invoices (seq INTEGER PRIMARY KEY AUTOINCREMENT, order_id INTEGER NOT NULL,
                       customer TEXT NOT NULL, nth INTEGER NOT NULL, cents INTEGER NOT NULL);`

func newBilling(
	ctx context.Context, target *dbopen.Target, brokers []string, log *slog.Logger, st *stats,
) (*billing, error) {
	ib, err := inbox.New(target.Dialect, "billing", inbox.WithLogger(log))
	if err != nil {
		return nil, err
	}
	if _, err := target.DB.ExecContext(ctx, billingTables); err != nil {
		return nil, fmt.Errorf("make its tables: %w", err)
	}
	joined := make(chan struct{})
	join := sync.OnceFunc(func() { close(joined) })
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { join() }),
		kgo.ConsumeTopics(topic),
		kgo.ConsumerGroup("billing"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.DisableAutoCommit(),
		kgo.DisableClientMetrics(),
	)
	if err != nil {
		return nil, fmt.Errorf("make its consumer: %w", err)
	}
	return &billing{db: target.DB, client: client, stats: st, process: ib.Process,
		joined: joined, ids: make(map[string]bool), next: make(map[int32]int64)}, nil
}

// readAgain makes run read some messages again, once.
func (b *billing) readAgain() { b.again.Store(true) }

// run consumes until ctx ends. The database commits first, and the offset is committed after that.
func (b *billing) run(ctx context.Context) error {
	for {
		fetches := b.client.PollRecords(ctx, pollAtMost)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("billing: read %s: %w", topic, err)
		}
		records := fetches.Records()
		for _, r := range records {
			if err := b.handle(ctx, r); err != nil {
				return ended(ctx, err)
			}
		}
		if err := b.client.CommitRecords(ctx, records...); err != nil {
			return ended(ctx, fmt.Errorf("billing: commit offsets of %s: %w", topic, err))
		}
		b.passed(records)
		if b.handed >= goBack && b.again.Swap(false) {
			b.seekBack()
		}
	}
}

// ended returns nil for an error that only says that the demo has ended.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// handle gives each message to the inbox, and some messages twice.
func (b *billing) handle(ctx context.Context, r *kgo.Record) error {
	m := inbox.Message{
		ID:       messageID(r),
		Position: &inbox.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset},
	}
	b.handed++
	times := 1
	if b.handed%copyEvery == 0 {
		times = 2
	}
	for range times {
		var o order
		outcome, err := b.process(ctx, b.db, m, func(ctx context.Context, tx *sql.Tx) error {
			if err := json.Unmarshal(r.Value, &o); err != nil {
				return fmt.Errorf("decode the order: %w", err)
			}
			_, err := tx.ExecContext(
				ctx, "INSERT INTO invoices (order_id, customer, nth, cents) VALUES (?, ?, ?, ?)", o.ID, o.Customer,
				o.Nth, o.Cents,
			)
			return err
		})
		if err != nil {
			return fmt.Errorf("billing: %s/%d@%d: %w", r.Topic, r.Partition, r.Offset, err)
		}
		b.stats.handled(o.ID, outcome, b.ids[m.ID])
		b.ids[m.ID] = true
	}
	return nil
}

func messageID(r *kgo.Record) string {
	for _, h := range r.Headers {
		if h.Key == relay.HeaderMessageUUID {
			return string(h.Value)
		}
	}
	return ""
}

func (b *billing) passed(records []*kgo.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range records {
		b.next[r.Partition] = r.Offset + 1
	}
}

// seekBack makes the consumer read some messages of every partition again. This also happens after a crash
// between the database's commit and the commit of the offset.
func (b *billing) seekBack() {
	b.mu.Lock()
	defer b.mu.Unlock()
	to := make(map[int32]kgo.EpochOffset, len(b.next))
	for partition, next := range b.next {
		b.next[partition] = max(0, next-goBack)
		to[partition] = kgo.EpochOffset{Epoch: -1, Offset: b.next[partition]}
	}
	b.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: to})
}

// atEnd reports whether billing has handled everything that the topic had at the time of the call.
func (b *billing) atEnd(ctx context.Context) (bool, error) {
	ends, err := endOffsets(ctx, b.client)
	if err != nil {
		return false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for partition, end := range ends {
		if b.next[partition] < end {
			return false, nil
		}
	}
	return true, nil
}

// endOffsets returns the end offset of each partition of the topic.
func endOffsets(ctx context.Context, client *kgo.Client) (map[int32]int64, error) {
	listed, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("ask where %s ends: %w", topic, err)
	}
	ends := make(map[int32]int64, partitions)
	listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return ends, nil
}
