package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
)

// inboxContender is one way to apply messages.
type inboxContender struct {
	name    string
	mode    inboxkafka.Mode
	without bool // ids
	upsert  bool // the handler does one bulk upsert, and else one INSERT of a row per message
	rows    bool // no messages at all: their rows by COPY
}

// Neighbours are what is compared: what slows the machine down for a while hits both.
var inboxContenders = []inboxContender{
	{name: perMessageName, mode: inboxkafka.PerMessage},
	{name: batchName, mode: inboxkafka.Batch},
	{name: copyName, rows: true},
	{name: upsertName, mode: inboxkafka.Batch, upsert: true},
	{name: offsetsName, mode: inboxkafka.OffsetsInDatabase, without: true, upsert: true},
	{name: offsetsIDsName, mode: inboxkafka.OffsetsInDatabase, upsert: true},
}

// sliceLimit bounds a slice, so that a contender that hangs is an error.
const sliceLimit = 10 * time.Minute

// slice lets one contender handle messages on empty tables, and checks what it left.
func (b *inboxBench) slice(ctx context.Context, c inboxContender, source string) (slice, error) {
	ctx, cancel := context.WithTimeout(ctx, sliceLimit)
	defer cancel()
	if err := b.empty(ctx); err != nil {
		return slice{}, err
	}
	n := b.o.Rows
	if c.mode == inboxkafka.PerMessage {
		n = b.o.SlowRows
	}
	ib, err := inbox.New(inbox.PostgreSQL, consumerName, inbox.WithLogger(quiet()))
	if err != nil {
		return slice{}, err
	}
	var took time.Duration
	switch {
	case c.rows:
		took, err = b.copyRows(ctx)
	case source == fromKafka:
		took, err = b.fromKafka(ctx, ib, c, n)
	default:
		took, err = b.fromMemory(ctx, ib, c, n)
	}
	if err == nil {
		err = b.judge(ctx, c, n)
	}
	return slice{
		Source: source, Contender: c.name, Messages: n, Seconds: took.Seconds(), Rate: float64(n) / took.Seconds(),
	}, err
}

// handler applies all messages by one statement.
func (c inboxContender) handler() inbox.BatchHandler {
	if c.upsert {
		return func(ctx context.Context, tx *sql.Tx, ms []inbox.Message) error {
			keys := make([]string, len(ms))
			for i, m := range ms {
				keys[i] = m.Key
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO bench_totals AS t (event_key, messages)
SELECT k, count(*) FROM unnest($1::text[]) AS k GROUP BY k
ON CONFLICT (event_key) DO UPDATE SET messages = t.messages + excluded.messages`, keys)
			return err
		}
	}
	return func(ctx context.Context, tx *sql.Tx, ms []inbox.Message) error {
		keys, bodies := make([]string, len(ms)), make([][]byte, len(ms))
		for i, m := range ms {
			keys[i], bodies[i] = m.Key, m.Payload
		}
		_, err := tx.ExecContext(
			ctx, "INSERT INTO bench_rows (event_key, body) SELECT * FROM unnest($1::text[], $2::bytea[])", keys,
			bodies,
		)
		return err
	}
}

// fromKafka runs a group of one member over the whole topic: from the first record that
// is decoded until the n-th outcome. The start of the group is not in it.
func (b *inboxBench) fromKafka(
	ctx context.Context, ib *inbox.Inbox, c inboxContender, n int,
) (_ time.Duration, err error) {
	group, err := freshName("bench-")
	if err != nil {
		return 0, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var done, began, ended atomic.Int64
	start := time.Now()
	cfg := b.config(ib, c, group)
	cfg.Decode = func(r *kgo.Record) (inbox.Message, error) {
		if began.Load() == 0 {
			began.CompareAndSwap(0, int64(time.Since(start)))
		}
		return inboxkafka.Decode(r)
	}
	cfg.OnOutcome = func(inbox.Message, inbox.Outcome) {
		if done.Add(1) == int64(n) {
			ended.Store(int64(time.Since(start)))
			stop()
		}
	}
	consumer, err := inboxkafka.New(cfg)
	if err != nil {
		return 0, err
	}
	defer atEnd(&err, func(ctx context.Context) error {
		_, err := b.broker.admin.DeleteGroup(ctx, group)
		return err
	})
	if err := consumer.RunBatch(ctx, c.handler()); err != nil {
		return 0, err
	}
	if done.Load() < int64(n) {
		return 0, fmt.Errorf("%d of %d messages were handled: %w", done.Load(), n, context.Cause(ctx))
	}
	return time.Duration(ended.Load() - began.Load()), nil
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// config is inboxkafka's for a contender.
func (b *inboxBench) config(ib *inbox.Inbox, c inboxContender, group string) inboxkafka.Config {
	cfg := inboxkafka.Config{
		Inbox: ib, DB: b.db.sql, Brokers: b.broker.addresses, Group: group, Topics: []string{b.topic},
		Mode: c.mode, MaxBatch: b.o.Batch, Logger: quiet(),
	}
	if c.without {
		cfg.ExactlyOnceTopics = []string{b.topic}
	}
	return cfg
}

// fromMemory hands the messages of each partition to the inbox, all partitions beside
// one another, as the runner does.
func (b *inboxBench) fromMemory(ctx context.Context, ib *inbox.Inbox, c inboxContender, n int) (time.Duration, error) {
	work, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	for id := range partitions {
		ms := b.messages[id][:share(n, id)]
		work.Go(func() error {
			if c.mode == inboxkafka.PerMessage {
				return b.oneByOne(ctx, ib, c, ms)
			}
			return b.together(ctx, ib, c, int32(id), ms)
		})
	}
	err := work.Wait()
	return time.Since(start), err
}

func (b *inboxBench) oneByOne(ctx context.Context, ib *inbox.Inbox, c inboxContender, ms []inbox.Message) error {
	h := c.handler()
	for _, m := range ms {
		if _, err := ib.Process(
			ctx, b.db.sql, m,
			func(ctx context.Context, tx *sql.Tx) error { return h(ctx, tx, []inbox.Message{m}) },
		); err != nil {
			return err
		}
	}
	return nil
}

func (b *inboxBench) together(
	ctx context.Context, ib *inbox.Inbox, c inboxContender, id int32, ms []inbox.Message,
) error {
	var opts []inbox.BatchOption
	if c.mode == inboxkafka.OffsetsInDatabase {
		hold, err := ib.ClaimPartition(ctx, b.db.sql, b.topic, id)
		if err != nil {
			return err
		}
		opts = append(opts, inbox.WithPartitionClaim(hold))
	}
	if c.without {
		opts = append(opts, inbox.WithoutIDs())
	}
	h := c.handler()
	for len(ms) > 0 {
		n := min(len(ms), b.o.Batch)
		if _, err := ib.ProcessBatch(ctx, b.db.sql, ms[:n], h, opts...); err != nil {
			return err
		}
		ms = ms[n:]
	}
	return nil
}

// copyRows writes the rows that batch mode writes, the inbox's and the handler's, and
// knows nothing of duplicates: a transaction and two COPYs for each partition.
func (b *inboxBench) copyRows(ctx context.Context) (time.Duration, error) {
	work, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	for id := range partitions {
		work.Go(func() error {
			conn, err := b.db.sql.Conn(ctx)
			if err != nil {
				return err
			}
			err = conn.Raw(func(driver any) error { return b.copyPartition(ctx, driver.(*stdlib.Conn).Conn(), id) })
			return errors.Join(err, conn.Close())
		})
	}
	err := work.Wait()
	return time.Since(start), err
}

func (b *inboxBench) copyPartition(ctx context.Context, conn *pgx.Conn, id int) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	ms := b.messages[id]
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"inbox_events"},
		[]string{"consumer", "message_id", "kafka_topic", "kafka_partition", "kafka_offset"},
		pgx.CopyFromSlice(len(ms), func(i int) ([]any, error) {
			return []any{
				consumerName, ms[i].ID, ms[i].Position.Topic, ms[i].Position.Partition, ms[i].Position.Offset,
			}, nil
		}))
	if err != nil {
		return err
	}
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"bench_rows"}, []string{"event_key", "body"},
		pgx.CopyFromSlice(len(ms), func(i int) ([]any, error) { return []any{ms[i].Key, ms[i].Payload}, nil }))
	if err != nil {
		return err
	}
	return tx.Commit(ctx)
}
