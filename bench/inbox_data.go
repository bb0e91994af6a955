package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/migrations"
)

const consumerName = "bench"

// inboxBench is a database with the inbox's tables and the handler's, and messages for
// it in a topic; where produce made them, in memory too.
type inboxBench struct {
	o        inboxOptions
	db       *database
	broker   *broker
	topic    string
	messages [partitions][]inbox.Message
}

func openInbox(ctx context.Context, o inboxOptions) (_ *inboxBench, err error) {
	server, err := address(envPostgres)
	if err != nil {
		return nil, err
	}
	brokers, err := address(envKafka)
	if err != nil {
		return nil, err
	}
	b := &inboxBench{o: o}
	defer func() {
		if err != nil {
			atEnd(&err, b.close)
		}
	}()
	if b.broker, err = openBroker(strings.Split(brokers, ",")); err != nil {
		return nil, err
	}
	if b.db, err = newDatabase(ctx, server, migrations.InboxOnly); err != nil {
		return nil, err
	}
	for _, s := range []string{
		"CREATE TABLE bench_rows (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event_key text NOT NULL, body " +
			"bytea NOT NULL)",
		"CREATE TABLE bench_totals (event_key text PRIMARY KEY, messages bigint NOT NULL) WITH (fillfactor = 50)",
	} {
		if _, err := b.db.sql.ExecContext(ctx, s); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (b *inboxBench) close(ctx context.Context) error {
	var errs []error
	if b.topic != "" {
		errs = append(errs, b.broker.deleteTopic(ctx, b.topic))
	}
	if b.db != nil {
		errs = append(errs, b.db.drop(ctx))
	}
	if b.broker != nil {
		b.broker.client.Close()
	}
	return errors.Join(errs...)
}

// share is a partition's part of n messages.
func share(n, partition int) int {
	part := n / partitions
	if partition < n%partitions {
		part++
	}
	return part
}

// produce makes the messages, with the ids and on the wire that the relay's have, and
// writes them to a new topic. A key has one partition.
func (b *inboxBench) produce(ctx context.Context) (err error) {
	if b.topic, err = b.broker.newTopic(ctx); err != nil {
		return err
	}
	producer, err := b.producer()
	if err != nil {
		return err
	}
	defer producer.Close()
	failed := make(chan error, b.o.Rows)
	for i := range b.o.Rows {
		partition := i % partitions
		offset := len(b.messages[partition])
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		payload := make([]byte, payloadBytes)
		if _, err := rand.Read(payload); err != nil {
			return err
		}
		m := inbox.Message{
			ID: id.String(), Topic: b.topic, Key: fmt.Sprintf("key-%d", i%keys),
			Type: "bench.happened", Payload: payload,
			Position: &inbox.Position{Topic: b.topic, Partition: int32(partition), Offset: int64(offset)},
		}
		b.messages[partition] = append(b.messages[partition], m)
		producer.Produce(ctx, record(m), func(_ *kgo.Record, err error) { failed <- err })
	}
	for range b.o.Rows {
		if err := <-failed; err != nil {
			return fmt.Errorf("produce to %s: %w", b.topic, err)
		}
	}
	return nil
}

// producer writes records to the partitions that they name.
func (b *inboxBench) producer() (*kgo.Client, error) {
	return kgo.NewClient(
		kgo.SeedBrokers(b.broker.addresses...), kgo.DefaultProduceTopic(b.topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
	)
}

// record is m as the relay writes it.
func record(m inbox.Message) *kgo.Record {
	return &kgo.Record{
		Partition: m.Position.Partition, Key: []byte(m.Key), Value: m.Payload,
		Headers: []kgo.RecordHeader{
			{Key: "_watermill_message_uuid", Value: []byte(m.ID)}, {Key: "name", Value: []byte(m.Type)},
		},
	}
}

// empty removes what the last contender wrote, and leaves the server at rest. The keys are
// there, as they are when a service has run for a while.
func (b *inboxBench) empty(ctx context.Context) error {
	for _, s := range []string{
		"TRUNCATE inbox_events, inbox_offsets, inbox_attempts, bench_rows, bench_totals RESTART IDENTITY",
		fmt.Sprintf("INSERT INTO bench_totals SELECT 'key-' || i, 0 FROM generate_series(0, %d) AS i", keys-1),
		"VACUUM (ANALYZE) bench_totals",
		"CHECKPOINT",
	} {
		if _, err := b.db.sql.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("empty the tables: %w", err)
		}
	}
	return nil
}

// judge counts what a contender left: the effects of all messages, each once, and an id
// row for each, or none. Messages beyond n may have been under way when it was stopped.
func (b *inboxBench) judge(ctx context.Context, c inboxContender, n int) error {
	var ids, rows, totals int
	err := b.db.sql.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM inbox_events), (SELECT count(*) FROM bench_rows),
(SELECT sum(messages) FROM bench_totals)`).Scan(&ids, &rows, &totals)
	if err != nil {
		return err
	}
	effects := rows + totals
	wanted := effects
	if c.without {
		wanted = 0
	}
	if effects < n || effects > b.o.Rows || ids != wanted {
		return fmt.Errorf(
			"%w: of %d messages %d took effect, and %d ids are noted, not %d", errMissed, n, effects, ids, wanted,
		)
	}
	return nil
}

// settings are those that a rate of commits depends on.
func (b *inboxBench) settings(ctx context.Context) (map[string]string, error) {
	settings := map[string]string{}
	for _, name := range []string{
		"server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size",
	} {
		var value string
		if err := b.db.sql.QueryRowContext(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
			return nil, err
		}
		settings[name] = value
	}
	return settings, nil
}
