//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/steady"
)

// produce sends transfers to both topics, and to the first of them copies later, until
// troubled ends; then the copies that are left. A record is in Kafka when it returns: the
// client waits, and it is idempotent, so that what it sends again after an outage takes no
// second offset.
func (r *bankRun) produce(ctx, troubled context.Context) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(r.servers.Address(kafka), ",")...), kgo.ProducerLinger(0),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	var mu sync.Mutex
	var failed error
	send := func(t Transfer, topic string) {
		value, _ := json.Marshal(t) // numbers and a string
		record := &kgo.Record{
			Topic: topic, Key: fmt.Append(nil, t.From), Value: value,
			Headers: []kgo.RecordHeader{{Key: "_watermill_message_uuid", Value: []byte(t.ID)}},
		}
		client.Produce(ctx, record, func(_ *kgo.Record, err error) {
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
		})
	}
	later := make(map[int][]Transfer)
	again := func(n int) {
		for _, t := range later[n] {
			send(t, r.topic)
		}
		delete(later, n)
	}
	n := 0
	_ = steady.Load{Every: time.Second / bankRate}.Run(troubled, func(int) error { // nothing returns an error
		t := transfer(r.settings.Seed, n)
		for _, topic := range r.topics() {
			send(t, topic)
		}
		r.sent = append(r.sent, t)
		r.count(func(b *BankReport) { b.Transfers++ })
		for _, after := range copies(r.settings.Seed, n) {
			later[n+after] = append(later[n+after], t)
		}
		again(n)
		n++
		return nil
	})
	for ; len(later) > 0; n++ {
		again(n)
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	return failed
}
