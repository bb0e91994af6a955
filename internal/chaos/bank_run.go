//go:build unix

package chaos

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	crand "crypto/rand"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/migrations"
)

// Size of a bank run.
const (
	bankConsumers  = 3
	bankPartitions = 6
	bankRate       = 100 // transfers a second, copies not counted
)

// BankReport is what a run of consumers proved.
type BankReport struct {
	Database  string        `json:"database"`
	Seed      uint64        `json:"seed"`
	Trouble   time.Duration `json:"trouble_ns"`
	Drain     time.Duration `json:"drain_ns"`
	Transfers int           `json:"transfers"`
	Copies    int           `json:"copies"` // at offsets of their own
	Kills     int           `json:"kills"`
	Pauses    int           `json:"pauses"` // longer than the session
	Leaves    int           `json:"leaves"` // clean ends, which give partitions up
	Cuts      int           `json:"connections_cut"`
	Brokers   int           `json:"broker_restarts"`
	// Wrong is what the checker found, each line with its mode.
	Wrong []string `json:"wrong"`
	// Problems are reasons why the run proves too little.
	Problems []string `json:"problems"`
}

// Passed reports whether the run proved what it should.
func (r *BankReport) Passed() bool { return len(r.Wrong)+len(r.Problems) == 0 }

// String is the report in a few lines.
func (r *BankReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, consumers (%v), seed %d: %d transfers and %d copies, %v of trouble, drained in %v\n",
		r.Database, bankModes(), r.Seed, r.Transfers, r.Copies, r.Trouble.Round(time.Second), r.Drain.Round(100*time.Millisecond))
	fmt.Fprintf(&b, "  kill -9: %d; stopped past the session: %d; left cleanly: %d; connections cut: %d; broker restarts: %d\n",
		r.Kills, r.Pauses, r.Leaves, r.Cuts, r.Brokers)
	for _, line := range append(r.Wrong, r.Problems...) {
		fmt.Fprintf(&b, "  WRONG: %s\n", line)
	}
	if r.Passed() {
		b.WriteString("  every transfer applied once, every total kept: passed\n")
	}
	return b.String()
}

// bankRun is one run under way.
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
}

// RunBank lets three processes (settings.Binary with the environment of
// BankEnvironment) consume transfers while there is trouble, and judges the banks. Of the
// settings it uses Database, Duration, Seed, Binary, Dir, Say and Log.
func RunBank(ctx context.Context, servers *Servers, s Settings) (_ *BankReport, err error) {
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the run's directory: %w", err)
	}
	r := &bankRun{settings: s, servers: servers, report: &BankReport{Database: s.Database, Seed: s.Seed}}
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
	for _, step := range []func(context.Context, Settings) error{r.db.open, r.migrate, r.db.addUsers, r.makeTopic, r.load, r.judge} {
		if err == nil {
			err = step(ctx, s)
		}
	}
	return r.report, err
}

func (r *bankRun) migrate(ctx context.Context, _ Settings) error {
	if _, err := migrations.Apply(ctx, r.db.admin, r.db.dialect, migrations.Options{Only: migrations.InboxOnly}); err != nil {
		return err
	}
	var rows []string
	for id := range bankAccounts {
		rows = append(rows, fmt.Sprintf("(%d, %d)", id, bankOpening))
	}
	for _, mode := range bankModes() {
		for _, statement := range []string{
			"CREATE TABLE " + mode.table("accounts") + " (id int PRIMARY KEY, balance bigint NOT NULL)",
			"CREATE TABLE " + mode.table("ledger") + " (message_id varchar(255) NOT NULL, from_account int NOT NULL, to_account int NOT NULL, amount bigint NOT NULL)",
			"INSERT INTO " + mode.table("accounts") + " (id, balance) VALUES " + strings.Join(rows, ", "),
		} {
			if _, err := r.db.admin.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *bankRun) makeTopic(ctx context.Context, _ Settings) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(r.servers.Address(kafka), ",")...))
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(ctx, bankPartitions, 1, nil, r.topic)
	return err
}

// bankVariable, in the environment, makes a program a consumer.
const bankVariable = "CHAOS_BANK_CONSUMER"

// BankConsumerOf reads from the environment that RunBank gives its processes what to
// consume; false: this process is none of them.
func BankConsumerOf() (c BankConsumer, ok bool) {
	value := os.Getenv(bankVariable)
	if value == "" || json.Unmarshal([]byte(value), &c) != nil {
		return c, false
	}
	c.Out = os.Stdout
	return c, true
}

// load sends transfers to consumers that are in trouble, and returns when all are handled.
func (r *bankRun) load(ctx context.Context, s Settings) error {
	consumer, err := json.Marshal(map[string]string{
		"Brokers": r.servers.Address(kafka), "DatabaseURL": r.db.relayURL, "Topic": r.topic, "Group": r.topic,
	})
	if err != nil {
		return err
	}
	r.fleet = startFleet(bankConsumers, "consumer", s.Binary, nil, environment(bankVariable+"="+string(consumer)), r.log)
	defer r.fleet.kill9()
	began := time.Now()
	// The producer ends when the trouble does.
	troubled, end := context.WithTimeout(ctx, s.Duration)
	defer end()
	var working sync.WaitGroup
	var producing error
	working.Go(func() { producing = r.produce(ctx, troubled) })
	working.Go(func() { r.trouble(ctx, troubled) })
	working.Go(func() { r.tell(troubled) })
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
	for _, line := range r.fleet.panics {
		r.problem("%s", line)
	}
	return nil
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

// produce sends transfers, and copies of them later, until troubled ends; then the copies
// that are left. A record is in Kafka when it returns: the client is idempotent and waits.
func (r *bankRun) produce(ctx, troubled context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(r.servers.Address(kafka), ",")...), kgo.DefaultProduceTopic(r.topic), kgo.ProducerLinger(0))
	if err != nil {
		return err
	}
	defer client.Close()
	var mu sync.Mutex
	var failed error
	send := func(t Transfer) {
		value, _ := json.Marshal(t) // numbers and a string
		record := &kgo.Record{Key: fmt.Append(nil, t.From), Value: value, Headers: []kgo.RecordHeader{{Key: "id", Value: []byte(t.ID)}}}
		client.Produce(ctx, record, func(_ *kgo.Record, err error) {
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
		})
	}
	later := make(map[int][]Transfer)
	again := func(n int) {
		for _, t := range later[n] {
			send(t)
			r.count(func(b *BankReport) { b.Copies++ })
		}
		delete(later, n)
	}
	n, tick := 0, time.NewTicker(time.Second/bankRate)
	defer tick.Stop()
	for ; troubled.Err() == nil; n++ {
		t := transfer(r.settings.Seed, n)
		send(t)
		r.sent = append(r.sent, t)
		r.count(func(b *BankReport) { b.Transfers++ })
		for _, after := range copies(r.settings.Seed, n) {
			later[n+after] = append(later[n+after], t)
		}
		again(n)
		select {
		case <-tick.C:
		case <-troubled.Done():
		}
	}
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

// trouble makes blows of each kind at times that the seed decides. Rebalances take a
// session's time to settle: there are fewer than of the relays' trouble.
func (r *bankRun) trouble(ctx, troubled context.Context) {
	var under sync.WaitGroup
	defer under.Wait()
	for number, kind := range []struct {
		every span
		blow  func(rng *rand.Rand)
	}{
		{span{3000 * ms, 5000 * ms}, func(rng *rand.Rand) { // kill
			if hit, _ := r.fleet.kill(Trouble{Relay: rng.IntN(bankConsumers)}, false); hit {
				r.count(func(b *BankReport) { b.Kills++ })
			}
		}},
		{span{1000 * ms, 3000 * ms}, func(rng *rand.Rand) { // stop
			aim, lasts := Trouble{Relay: rng.IntN(bankConsumers)}, bankSession+span{200 * ms, 2000 * ms}.pick(rng)
			aim.For = lasts
			resume, _ := r.fleet.stop(aim)
			if resume == nil {
				return
			}
			pause(ctx, lasts) // to its end, though the trouble may be over
			if resume() {
				r.count(func(b *BankReport) { b.Pauses++ })
			}
		}},
		{span{5000 * ms, 9000 * ms}, func(rng *rand.Rand) { // leave
			if r.fleet.leave(rng.IntN(bankConsumers)) {
				r.count(func(b *BankReport) { b.Leaves++ })
			}
		}},
		{span{700 * ms, 2000 * ms}, func(rng *rand.Rand) { // cut
			if hit, err := r.db.cutOne(ctx, CutRelay, rng.Uint64()); hit && err == nil {
				r.count(func(b *BankReport) { b.Cuts++ })
			}
		}},
		{span{20 * time.Second, 30 * time.Second}, func(rng *rand.Rand) { // broker
			if err := r.servers.restartBroker(ctx, rng.IntN(2) == 0); err != nil {
				r.problem("restart the broker: %v", err)
				return
			}
			r.count(func(b *BankReport) { b.Brokers++ })
		}},
	} {
		under.Go(func() {
			rng := rand.New(rand.NewPCG(r.settings.Seed, uint64(number)))
			for pause(troubled, kind.every.pick(rng)); troubled.Err() == nil; pause(troubled, kind.every.pick(rng)) {
				kind.blow(rng)
			}
		})
	}
}

func (r *bankRun) tell(ctx context.Context) {
	for pause(ctx, 5*time.Second); ctx.Err() == nil; pause(ctx, 5*time.Second) {
		said := ""
		for _, mode := range bankModes() {
			if n, err := r.db.count(ctx, mode.table("ledger")); err == nil {
				said += fmt.Sprintf(", %s %d", mode, n)
			}
		}
		r.mu.Lock()
		sent, kills, pauses := r.report.Transfers, r.report.Kills, r.report.Pauses
		r.mu.Unlock()
		r.settings.Say("sent %d%s, kills %d, pauses %d", sent, said, kills, pauses)
	}
}

// leave asks one consumer to end; the fleet starts another.
func (f *fleet) leave(number int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.aim(Trouble{Relay: number}, func(s *slot) bool { return s.started && !s.stopped && !s.killed })
	if s == nil || s.cmd.Process.Signal(syscall.SIGTERM) != nil {
		return false
	}
	f.log.say("trouble", "ask %s to leave", s.name())
	return true
}
