//go:build unix

package chaos

import (
	"cmp"
	"context"
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

	"github.com/postroom/postroom/internal/history"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/rigs/chaos/rabbitmq"
)

// These bound how long the ends of a run may take. They do not measure speed: a run that needs all of this
// time has failed.
const (
	drainFor = 3 * time.Minute
	stopFor  = time.Minute
	readFor  = 10 * time.Minute
)

// run is one run while it goes on.
type run struct {
	settings Settings
	plan     Plan
	servers  *Servers
	topics   []string
	queues   *rabbitmq.Queues // only with RabbitMQ
	log      *timeline
	db       *database
	account  *account
	refused  *refusals
	fleet    *fleet
	trouble  *trouble
	report   *Report
	start    time.Time
}

// Run makes trouble for some time, and checks the result. An error means that the run could not be finished.
// The report has what it proved until then. The servers must be up. A run leaves a database and topics on
// them.
func Run(ctx context.Context, servers *Servers, s Settings) (_ *Report, err error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the run's directory: %w", err)
	}
	r := &run{settings: s, plan: s.plan(), servers: servers, account: &account{}}
	r.report = &Report{
		Database: s.Database, Broker: cmp.Or(s.Broker, Kafka), Mode: s.Mode,
		Seed: s.Seed, LeaseTTL: s.LeaseTTL, Relays: s.Relays, Writers: s.Writers,
	}
	if r.log, err = newTimeline(filepath.Join(s.Dir, "timeline.log"), s.Log); err != nil {
		return nil, err
	}
	defer r.log.close()
	if r.db, err = newDatabase(ctx, s, servers.Address(s.Database)); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.db.close()) }()
	if err := r.makeTopics(ctx); err != nil {
		return nil, err
	}
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	if err := r.judge(ctx); err != nil {
		return nil, err
	}
	return r.report, r.keepCases(ctx)
}

// makeTopics makes two topics for the run, and one that rejects what the bursts write.
func (r *run) makeTopics(ctx context.Context) error {
	if r.settings.Broker == RabbitMQ {
		return r.makeExchanges(ctx)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(r.servers.Address(Kafka), ",")...))
	if err != nil {
		return fmt.Errorf("make the topics: %w", err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	refusing := map[string]*string{
		"cleanup.policy": kadm.StringPtr("compact"), "max.message.bytes": kadm.StringPtr(fmt.Sprint(refusedAbove)),
	}
	for _, t := range []struct {
		name       string
		partitions int32
		configs    map[string]*string
	}{{"orders", 8, nil}, {"payments", 3, nil}, {"refused", 3, refusing}} {
		topic := r.topic(t.name)
		// A broker that was just restarted may need a moment.
		for {
			_, err := admin.CreateTopic(ctx, t.partitions, 1, t.configs, topic)
			if err == nil || errors.Is(err, kerr.TopicAlreadyExists) {
				break
			}
			if pause(ctx, 100*time.Millisecond); ctx.Err() != nil {
				return fmt.Errorf("make topic %s: %w", topic, err)
			}
		}
		r.topics = append(r.topics, topic)
	}
	return nil
}

// makeExchanges does the same for RabbitMQ. An exchange without a queue rejects everything.
func (r *run) makeExchanges(ctx context.Context) error {
	var topics []rabbitmq.Topic
	for name, queue := range map[string]string{"orders": "classic", "payments": "quorum"} {
		topics = append(topics, rabbitmq.Topic{Name: r.topic(name), Queue: queue})
	}
	topics = append(topics, rabbitmq.Topic{Name: r.topic("refused")})
	for _, t := range topics {
		r.topics = append(r.topics, t.Name)
	}
	r.queues = rabbitmq.NewQueues(r.servers.Address(RabbitMQ))
	return rabbitmq.Declare(ctx, r.servers.Address(RabbitMQ), topics...)
}

// topic returns the name that a topic has in this run.
func (r *run) topic(name string) string { return strings.ReplaceAll(r.db.name, "_", "-") + "-" + name }

// relayArgs are the arguments of a relay's command.
func (r *run) relayArgs(relay int) []string {
	broker := []string{"--kafka-brokers", r.servers.ways[relay].address}
	if r.settings.Broker == RabbitMQ {
		broker = []string{"--amqp-url", rabbitmq.Through(r.servers.Address(RabbitMQ), r.servers.ways[relay].address)}
	}
	return append([]string{
		"run", "--lease-ttl", r.settings.LeaseTTL.String(), "--mode", string(r.settings.Mode),
	}, broker...)
}

// load runs writers, relays and trouble. It returns when all of them have ended and the outbox is empty, or
// when the outbox does not become empty in time.
func (r *run) load(ctx context.Context) error {
	r.fleet = startFleet(
		r.settings.Relays, "relay", r.settings.Binary, r.relayArgs, environment("POSTROOM_DATABASE_URL="+r.db.relayURL),
		r.log,
		func(string, string) {},
	)
	defer r.fleet.kill9() // after terminate there are none left
	ob, err := outbox.New(r.db.dialect)
	if err != nil {
		return err
	}
	healthy, refusing := r.topics[:len(r.topics)-1], r.topics[len(r.topics)-1]
	w := &writers{
		settings: r.settings, plan: r.plan, db: r.db, outbox: ob, topics: healthy, account: r.account, log: r.log,
	}
	r.refused = &refusals{plan: r.plan, db: r.db, outbox: ob, topic: refusing, log: r.log}
	r.trouble = &trouble{
		settings: r.settings, plan: r.plan, servers: r.servers, db: r.db, fleet: r.fleet,
		refused: r.refused, log: r.log,
	}

	ctx, cancel := context.WithCancel(ctx)
	writes, stop := context.WithCancel(ctx)
	defer stop()
	var writing, telling sync.WaitGroup
	defer telling.Wait()
	defer writing.Wait()
	defer cancel()
	r.start = time.Now()
	writing.Go(func() { w.run(ctx, writes) })
	telling.Go(func() { r.tell(ctx) })
	if r.settings.Broker != RabbitMQ { // RabbitMQ has no transactions that can hang
		telling.Go(func() { r.operate(ctx) })
	}
	if err := r.trouble.run(ctx, r.enough); err != nil {
		return fmt.Errorf("make trouble: %w", err)
	}
	r.report.Trouble, r.report.Held = time.Since(r.start), r.trouble.held
	if waiting, err := r.db.count(ctx, "outbox_events"); err != nil {
		return err
	} else if r.report.Delivered = r.account.committedEvents.Load() - waiting; r.report.Delivered <= 0 {
		r.report.problem("nothing was delivered while there was trouble: the run proves too little")
	}
	r.log.say("harness", "trouble ends")
	stop()
	writing.Wait()
	if err := r.db.endWriters(); err != nil {
		return err
	}
	if err := r.drain(ctx); err != nil {
		return err
	}
	if r.settings.Broker == RabbitMQ {
		if err := r.acceptRejected(ctx, refusing); err != nil {
			return err
		}
	}
	ending, cancelEnding := context.WithTimeout(ctx, stopFor)
	defer cancelEnding()
	if err := r.fleet.terminate(ending); err != nil {
		r.report.problem("%v", err)
	}
	return ctx.Err()
}

// acceptRejected binds a queue to the exchange that rejected everything, and waits until an event of a new key has
// gone through the relay to it. Until then no rejected event could arrive, whatever a relay did. From now on one
// arrives if a relay sends parked events without being asked, or if a connection that was given up publishes what it
// had.
func (r *run) acceptRejected(ctx context.Context, topic string) error {
	err := rabbitmq.Declare(ctx, r.servers.Address(RabbitMQ), rabbitmq.Topic{Name: topic, Queue: "classic"})
	if err != nil {
		return err
	}
	if err := r.refused.writeAccepted(ctx, r.account); err != nil {
		return fmt.Errorf("write an event that is accepted: %w", err)
	}
	drained := r.report.Drain
	defer func() { r.report.Drain = drained }()
	return r.drain(ctx)
}

// patienceWithMachine is how much longer than asked a run of a minute may last to reach its minimums. A busy
// machine may need that long to start the broker.
const patienceWithMachine = 3 * time.Minute

// enough reports whether the run has reached its minimums, or has tried for long enough.
func (r *run) enough() bool {
	passed, asked := time.Since(r.start), r.settings.Duration
	return passed >= asked+max(asked, patienceWithMachine) || passed >= asked && len(r.missing()) == 0
}

func (r *run) missing() (missing []string) {
	n := r.trouble.counts()
	minutes := int(r.settings.Duration.Minutes())
	handOvers, brokerCuts := minutes, 0
	if r.settings.Relays == 1 {
		handOvers = 0
	}
	if r.settings.Broker == RabbitMQ {
		brokerCuts = 5 * minutes // the plan has about 25, and some of them find no connection
	}
	for _, m := range []struct {
		what       string
		is, wanted int
	}{
		{"kills", n.Kills, r.settings.MinKills},
		{"pauses", n.Pauses, r.settings.MinPauses},
		{"events", int(r.account.committedEvents.Load()), r.settings.MinEvents},
		{"locks of the table", n.TableLocks, minutes},
		{"locks of a row", n.RowLocks, minutes},
		{"locks of the lease", n.LeaseLocks, minutes},
		{"bursts of refused events", n.Bursts, minutes},
		{"hand-overs of owners without a broker", n.BlindOwners, handOvers},
		{"cuts of connections to the broker", n.BrokerCuts, brokerCuts},
	} {
		if m.is < m.wanted {
			missing = append(missing, fmt.Sprintf("%d %s, wanted were at least %d", m.is, m.what, m.wanted))
		}
	}
	return missing
}

// tell reports the progress of the run every few seconds.
func (r *run) tell(ctx context.Context) {
	for pause(ctx, 5*time.Second); ctx.Err() == nil; pause(ctx, 5*time.Second) {
		written := r.account.committedEvents.Load()
		delivered := "?"
		if waiting, err := r.db.count(ctx, "outbox_events"); err == nil {
			delivered = fmt.Sprint(max(0, written-waiting))
		}
		n := r.trouble.counts()
		r.settings.Say(
			"%4.0f s: committed %d, delivered %s, kills %d, pauses %d", time.Since(r.start).Seconds(), written,
			delivered, n.Kills, n.Pauses,
		)
	}
}

// drain waits until nobody can write any more and the outbox is empty. It looks at the server's list of
// connections, because a transaction ends with its connection, and this list is always correct. MariaDB's
// innodb_trx is a copy that stays old while somebody reads it every 0.1 s.
func (r *run) drain(ctx context.Context) error {
	began := time.Now()
	waiting, cancel := context.WithTimeout(ctx, drainFor)
	defer cancel()
	why := func() (string, error) {
		open, err := r.db.connections(waiting, CutWriter)
		if err != nil || len(open) > 0 {
			return fmt.Sprintf("connections of writers are still there: %v", open), err
		}
		rows, err := r.db.count(waiting, "outbox_events")
		if err != nil || rows > 0 {
			return fmt.Sprintf("%d events are still in the outbox; %s", rows, r.db.lease(waiting)), err
		}
		if !r.fleet.allStarted() {
			return "not all relays are up", nil
		}
		return "", nil
	}
	for reason := "unknown"; ; {
		now, err := why()
		switch {
		case err == nil && now == "":
			r.report.Drain = time.Since(began)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case waiting.Err() != nil:
			r.report.problem("after %v without trouble %s", drainFor, reason)
			for number := range r.settings.Relays {
				r.report.problem(
					"relay-%d said last: %s", number,
					strings.Join(r.log.tail(fmt.Sprint("relay-", number)), "\n    "),
				)
			}
			return nil
		case err != nil:
			reason = err.Error()
		default:
			reason = now
		}
		pause(waiting, 50*time.Millisecond)
	}
}

// judge reads the ledger and Kafka, and checks them.
func (r *run) judge(ctx context.Context) error {
	r.report.Blows = r.trouble.counts()
	r.report.Ended = len(r.fleet.ended)
	for _, line := range r.fleet.panics {
		r.report.problem("%s", line)
	}
	if n := r.report.Blows.BlindKept; n > 0 {
		r.report.problem(
			"%d times a relay that could not reach Kafka kept the lease for %v, though others could", n,
			blindPatience,
		)
	}
	for _, m := range r.missing() {
		r.report.problem("%s: the run proves too little", m)
	}
	parked, err := r.db.parked(ctx)
	if err != nil {
		return err
	}
	ledger, err := r.db.ledger(ctx)
	if err != nil {
		return err
	}
	refused, sum, err := r.refused.settle(ledger)
	r.report.Refused = sum
	if err != nil {
		return err
	}
	events, sum, err := r.account.settle(ledger)
	r.report.Account = sum
	if err != nil {
		return err
	}
	reading, cancel := context.WithTimeout(ctx, readFor)
	defer cancel()
	var arrived []history.Arrival
	err = r.readBack(reading, r.topics, func(record *kgo.Record) {
		arrived = append(arrived, arrival(record))
	})
	if err != nil {
		return err
	}
	r.report.Arrived = len(arrived)
	found, others := history.CheckRefused(refused, parked, arrived)
	found.Merge(history.Check(events, others))
	r.report.judge(found)
	return nil
}

// readBack visits every record of the topics in the run's broker.
func (r *run) readBack(ctx context.Context, topics []string, visit func(*kgo.Record)) error {
	if r.settings.Broker == RabbitMQ {
		return r.queues.ReadBack(ctx, topics, visit)
	}
	return readBack(ctx, r.servers.Address(Kafka), topics, r.settings.Mode, visit)
}
