//go:build unix

package chaos

import (
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/steady"
	"github.com/postroom/postroom/migrations"
)

// These are the sizes of a bank run.
const (
	bankConsumers  = 3
	bankPartitions = 6
	bankRate       = 100 // transfers a second, copies not counted
)

// bankRun is one run while it goes on.
type bankRun struct {
	settings Settings
	servers  *Servers
	db       *database
	topic    string
	log      *timeline
	fleet    *fleet
	sent     []Transfer

	mu     sync.Mutex
	report *BankReport
	owners map[string]string // mode and partition → the process that had it last
	// consumed has the processes that were assigned a partition. After that a consumer survives every
	// trouble. Before that, it ends if it finds no database.
	consumed map[string]bool
}

// RunBank lets three processes (settings.Binary with the environment of BankEnvironment) consume transfers
// during trouble, and then checks the banks. It uses these settings: Database, Duration, Seed, Binary, Dir,
// Say and Log.
func RunBank(ctx context.Context, servers *Servers, s Settings) (_ *BankReport, err error) {
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the run's directory: %w", err)
	}
	r := &bankRun{
		settings: s, servers: servers, owners: make(map[string]string), consumed: make(map[string]bool),
		report: &BankReport{Database: s.Database, Seed: s.Seed, Handovers: make(map[BankMode]int)},
	}
	if r.log, err = newTimeline(filepath.Join(s.Dir, "timeline.log"), s.Log); err != nil {
		return nil, err
	}
	defer r.log.close()
	random := make([]byte, 6)
	_, _ = crand.Read(random) // never fails
	server := servers.Address(s.Database)
	r.db = describe(s, "bank_"+hex.EncodeToString(random), server)
	r.topic = strings.ReplaceAll(r.db.name, "_", "-")
	defer func() { err = errors.Join(err, r.db.close()) }()
	err = r.db.create(ctx, server)
	for _, step := range []func(context.Context, Settings) error{
		r.db.open, r.migrate, r.db.addUsers, r.makeTopics, r.load, r.judge,
	} {
		if err == nil {
			err = step(ctx, s)
		}
	}
	return r.report, err
}

func (r *bankRun) migrate(ctx context.Context, _ Settings) error {
	if _, err := migrations.Apply(
		ctx, r.db.admin, r.db.dialect, migrations.Options{Only: migrations.InboxOnly},
	); err != nil {
		return err
	}
	for _, mode := range bankModes() {
		if err := r.bank(mode).create(ctx, r.db.admin); err != nil {
			return err
		}
	}
	return nil
}

func (r *bankRun) bank(mode BankMode) bank {
	return bank{mode: mode, postgres: r.settings.Database == PostgreSQL}
}

// topics returns the topic with copies and the topic without.
func (r *bankRun) topics() []string {
	return []string{PerMessage.topic(r.topic), OffsetsAlone.topic(r.topic)}
}

func (r *bankRun) makeTopics(ctx context.Context, _ Settings) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(r.servers.Address(Kafka), ",")...))
	if err != nil {
		return err
	}
	defer client.Close()
	for _, topic := range r.topics() {
		// The run on the other database may have just restarted the broker.
		for {
			_, err := kadm.NewClient(client).CreateTopic(ctx, bankPartitions, 1, nil, topic)
			if err == nil || errors.Is(err, kerr.TopicAlreadyExists) {
				break
			}
			if pause(ctx, 100*time.Millisecond); ctx.Err() != nil {
				return fmt.Errorf("make topic %s: %w", topic, err)
			}
		}
	}
	return nil
}

// bankVariable in the environment makes a program a consumer.
const bankVariable = "CHAOS_BANK_CONSUMER"

// BankConsumerOf reads the consumer's settings from the environment that RunBank gives its processes. It
// returns false if this process is not one of them.
func BankConsumerOf() (c BankConsumer, ok bool) {
	value := os.Getenv(bankVariable)
	if value == "" || json.Unmarshal([]byte(value), &c) != nil {
		return c, false
	}
	c.Out = os.Stdout
	return c, true
}

// load sends transfers during trouble, and returns when the consumers have handled all of them.
func (r *bankRun) load(ctx context.Context, s Settings) error {
	consumer, err := json.Marshal(map[string]string{
		"Brokers": r.servers.Address(Kafka), "DatabaseURL": r.db.relayURL, "Topic": r.topic,
	})
	if err != nil {
		return err
	}
	r.fleet = startFleet(
		bankConsumers, "consumer", s.Binary, same(), environment(bankVariable+"="+string(consumer)), r.log, r.heard,
	)
	defer r.fleet.kill9()
	began := time.Now()
	// The producer ends when the trouble ends.
	troubled, end := context.WithCancel(ctx)
	defer end()
	var working sync.WaitGroup
	var producing error
	working.Go(func() { producing = r.produce(ctx, troubled) })
	working.Go(func() { r.trouble(ctx, troubled) })
	working.Go(func() { r.tell(troubled) })
	// On a busy machine the run gets more time to reach its minimums.
	for pause(ctx, s.Duration); ctx.Err() == nil; pause(ctx, 500*time.Millisecond) {
		r.mu.Lock()
		short := r.report.missing(s.Duration)
		r.mu.Unlock()
		if len(short) == 0 || time.Since(began) >= s.Duration+max(s.Duration, patienceWithMachine) {
			break
		}
	}
	end()
	working.Wait()
	if err := errors.Join(producing, ctx.Err()); err != nil {
		return err
	}
	r.report.Trouble = time.Since(began)
	if err := r.drain(ctx); err != nil {
		return err
	}
	ending, cancel := context.WithTimeout(ctx, stopFor)
	defer cancel()
	if err := r.fleet.terminate(ending); err != nil {
		r.problem("%v", err)
	}
	for _, end := range r.fleet.ended {
		if !strings.Contains(end, "ended by itself: <nil>") { // a consumer ends like this if it was asked to leave
			r.report.Ended++
			// The members of its other modes may not have finished their first look at the tables, and a
			// failure ends that look.
			if name, _, _ := strings.Cut(end, " "); r.consumed[name] && !strings.Contains(end, ": look at ") {
				r.problem("%s, though it had begun to consume", end)
			}
		}
	}
	for _, line := range r.fleet.panics {
		r.problem("%s", line)
	}
	return nil
}

// heard reads what a consumer process prints. If a partition begins in another process than before, it was
// handed over.
func (r *bankRun) heard(process, line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case strings.Contains(line, `msg="inboxkafka: assigned"`):
		mode := BankMode(field(line, "mode"))
		name := string(mode) + "/" + field(line, "partition")
		if before, ok := r.owners[name]; ok && before != process {
			r.report.Handovers[mode]++
		}
		r.owners[name] = process
		r.consumed[process] = true
	case strings.Contains(line, `msg="inboxkafka: another member has taken the partition"`):
		r.report.Fenced++
	}
}

// field returns the value of a key in a line of slog's text format.
func field(line, key string) string {
	_, after, _ := strings.Cut(line, " "+key+"=")
	value, _, _ := strings.Cut(after, " ")
	return value
}

func (r *bankRun) problem(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Problems = append(r.report.Problems, fmt.Sprintf(format, args...))
}

func (r *bankRun) count(add func(*BankReport)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	add(r.report)
}

// produce sends transfers to both topics, and copies to the first of them, until troubled ends. Then it sends
// the remaining copies. When it returns, Kafka has every record: the client waits for that. The client is
// idempotent, so a record that it sends again after an outage gets no second offset.
func (r *bankRun) produce(ctx, troubled context.Context) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(r.servers.Address(Kafka), ",")...), kgo.ProducerLinger(0),
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
