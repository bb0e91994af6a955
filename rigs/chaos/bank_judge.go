//go:build unix

package chaos

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// drain waits until each group's position is at the end of every partition. The position is in Kafka, where
// it is committed after the database has committed everything below it, or in the database itself. Transfers
// that are missing after that are lost.
func (r *bankRun) drain(ctx context.Context) error {
	began := time.Now()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(r.servers.Address(Kafka), ",")...))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	waiting, cancel := context.WithTimeout(ctx, drainFor)
	defer cancel()
	for {
		left, err := r.behind(waiting, admin)
		switch {
		case err == nil && left == "":
			r.report.Drain = time.Since(began)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case waiting.Err() != nil:
			r.problem("after %v without trouble the groups are not at the end: %s", drainFor, left)
			for number := range bankConsumers {
				r.problem(
					"consumer-%d said last: %s", number,
					strings.Join(r.log.tail(fmt.Sprint("consumer-", number)), "\n    "),
				)
			}
			return nil
		}
		pause(waiting, 200*time.Millisecond)
	}
}

// behind names a group and partition whose position is not at the end.
func (r *bankRun) behind(ctx context.Context, admin *kadm.Client) (left string, err error) {
	ends, err := admin.ListEndOffsets(ctx, r.topics()...)
	if err != nil {
		return "", err
	}
	if err := ends.Error(); err != nil {
		return "", err
	}
	for _, mode := range bankModes() {
		at, err := r.positions(ctx, admin, mode)
		if err != nil {
			return "", err
		}
		for id, end := range ends[mode.topic(r.topic)] {
			if at[id] < end.Offset {
				left += fmt.Sprintf("%s, partition %d: %d of %d; ", mode, id, at[id], end.Offset)
			}
		}
	}
	return left, nil
}

// positions returns, by partition, the offset below which a mode's group has handled every message.
func (r *bankRun) positions(ctx context.Context, admin *kadm.Client, mode BankMode) (map[int32]int64, error) {
	at := make(map[int32]int64)
	if !mode.inDatabase() {
		committed, err := admin.FetchOffsets(ctx, mode.group(r.topic))
		committed.Each(func(o kadm.OffsetResponse) { at[o.Partition] = o.At })
		return at, err
	}
	rows, err := r.db.admin.QueryContext(
		ctx,
		"SELECT kafka_partition, next_offset FROM inbox_offsets WHERE consumer = '"+mode.consumer()+
			"' AND next_offset IS NOT NULL",
	)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports the error
	for rows.Next() {
		var id int32
		var next int64
		if err := rows.Scan(&id, &next); err != nil {
			return nil, err
		}
		at[id] = next
	}
	return at, rows.Err()
}

// judge reads the banks and the topics, and checks them.
func (r *bankRun) judge(ctx context.Context, s Settings) error {
	for _, mode := range bankModes() {
		b, err := r.bank(mode).read(ctx, r.db.admin)
		if err != nil {
			return err
		}
		of := " WHERE consumer = '" + mode.consumer() + "'"
		if b.Parked, err = r.db.count(ctx, "inbox_parked"+of); err != nil {
			return err
		}
		for _, wrong := range CheckBank(r.sent, b) {
			r.report.Wrong = append(r.report.Wrong, fmt.Sprintf("%s: %s", mode, wrong))
		}
		ids, err := r.db.count(ctx, "inbox_events"+of)
		if err != nil {
			return err
		}
		if alone := mode == OffsetsAlone; alone != (ids == 0) {
			r.problem("%s has %d rows of messages' ids: it is not the mode that it should be", mode, ids)
		}
	}
	if err := r.readTopics(ctx); err != nil {
		return err
	}
	r.report.judge(s.Duration)
	return nil
}

// readTopics counts the messages that were really sent, and checks the load: the first copies must be in
// order, and the topic that promises no copies must have none.
func (r *bankRun) readTopics(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readFor)
	defer cancel()
	place := make(map[string]int, len(r.sent))
	for n, t := range r.sent {
		place[t.ID] = n
	}
	type key struct{ topic, key string }
	seen, latest := make(map[key]bool), make(map[key]int)
	return readBack(ctx, r.servers.Address(Kafka), r.topics(), AtLeastOnce, func(record *kgo.Record) {
		id := string(record.Headers[0].Value)
		copied := seen[key{record.Topic, id}]
		seen[key{record.Topic, id}] = true
		if record.Topic == r.topic {
			r.report.Messages++
		}
		of := key{record.Topic, string(record.Key)}
		switch n := place[id]; {
		case copied && record.Topic == r.topic:
			r.report.Copies++
		case copied:
			r.problem("%s is in %s twice: the harness broke its promise", id, record.Topic)
		case n < latest[of]:
			r.problem("%s is in %s behind a later transfer of its key: the harness broke its promise", id, record.Topic)
		default:
			latest[of] = n
		}
	})
}
