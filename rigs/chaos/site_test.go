//go:build unix

package chaos

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/history"
	"github.com/postroom/postroom/outbox"
)

// site is where a disaster happens: writers and relay processes, on a database server of the test's own and
// the shared Kafka.
type site struct {
	t        *testing.T
	settings Settings
	brokers  string
	topics   []string
	account  *account
	log      *timeline
}

func newSite(t *testing.T, database string, mode Mode) *site {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	log, err := newTimeline(filepath.Join(t.TempDir(), "timeline.log"), nil)
	require.NoError(t, err)
	t.Cleanup(log.close)
	s := &site{t: t, brokers: dbtest.Kafka(t), account: &account{}, log: log}
	s.settings = Settings{
		Database: database, Mode: mode, Duration: time.Minute, LeaseTTL: 3 * time.Second, Relays: 2,
		Writers: 4, Binary: self,
	}
	s.topics = []string{dbtest.Topic(t, 4), dbtest.Topic(t, 2)}
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(log.file.Name()) // as much of it as there is
			t.Logf("the log:\n%s", text)
		}
	})
	return s
}

// adopt closes the database, and removes the manifests of its source, at the end of the test.
func (s *site) adopt(d *database) *database {
	s.t.Helper()
	s.t.Cleanup(func() { require.NoError(s.t, d.close()) })
	if s.settings.Mode == ExactlyOnce {
		var source string
		require.NoError(
			s.t, d.admin.QueryRowContext(s.t.Context(), "SELECT source_id FROM outbox_leases").Scan(&source),
		)
		s.t.Cleanup(func() { s.removeTopicsOf(source) })
	}
	return d
}

func (s *site) removeTopicsOf(source string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(s.brokers, ",")...))
	require.NoError(s.t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	admin := kadm.NewClient(client)
	all, err := admin.ListTopics(ctx)
	require.NoError(s.t, err)
	for _, topic := range all.Names() {
		if strings.Contains(topic, source) {
			_, err := admin.DeleteTopic(ctx, topic)
			if !errors.Is(err, kerr.UnknownTopicOrPartition) { // a copy of the database has the same topics
				require.NoError(s.t, err)
			}
		}
	}
}

// fresh creates a migrated database on a server.
func (s *site) fresh(server string) *database {
	s.t.Helper()
	d, err := newDatabase(s.t.Context(), s.settings, server)
	require.NoError(s.t, err)
	return s.adopt(d)
}

// relays starts the relays. They are killed at the end of the test if they still run.
func (s *site) relays(d *database) *fleet {
	s.t.Helper()
	args := same(
		"run", "--kafka-brokers", s.brokers, "--lease-ttl", s.settings.LeaseTTL.String(), "--mode",
		string(s.settings.Mode),
	)
	f := startFleet(
		s.settings.Relays, "relay", s.settings.Binary, args, environment("POSTROOM_DATABASE_URL="+d.relayURL), s.log,
		func(string, string) {},
	)
	s.t.Cleanup(f.kill9)
	return f
}

// drained ends the relays after everything has been delivered.
func (s *site) drained(d *database, f *fleet) {
	s.t.Helper()
	s.wait("the outbox is empty", func() bool {
		n, err := d.count(s.t.Context(), "outbox_events")
		return err == nil && n == 0
	})
	s.wait("all relays are up", f.allStarted)
	require.NoError(s.t, terminate(s.t, f))
	require.Empty(s.t, f.panics)
	n, err := d.count(s.t.Context(), "outbox_parked")
	require.NoError(s.t, err)
	require.Zero(s.t, n, "parked without a reason")
}

// write starts the writers. Each call has its own transactions and ids. The function that it returns lets the
// writers finish.
func (s *site) write(d *database, seed uint64) (stop func()) {
	s.t.Helper()
	ob, err := outbox.New(d.dialect)
	require.NoError(s.t, err)
	w := &writers{
		settings: s.settings, plan: Plan{Seed: seed, LeaseTTL: s.settings.LeaseTTL / 10},
		db: d, outbox: ob, topics: s.topics, account: s.account, log: s.log, from: int(seed) * 1_000_000,
	}
	ctx, cancel := context.WithCancel(context.Background())
	writing, end := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.run(ctx, writing)
	}()
	s.t.Cleanup(func() { cancel(); <-done })
	return func() { end(); <-done }
}

// waitCommitted waits until n more events are committed.
func (s *site) waitCommitted(n int64) {
	s.t.Helper()
	want := s.account.committedEvents.Load() + n
	s.wait("events are committed", func() bool { return s.account.committedEvents.Load() >= want })
}

// waitDelivered waits until the lowest row of the outbox has changed, or the outbox is empty.
func (s *site) waitDelivered(d *database) {
	s.t.Helper()
	first := int64(-1)
	s.wait("events are delivered", func() bool {
		id, err := d.lowest(s.t.Context())
		if err == nil && first < 0 {
			first = id
		}
		return err == nil && (id == 0 || id > first)
	})
}

// disasterPatience is longer than the patience of other tests, because servers are started in that time.
const disasterPatience = 2 * time.Minute

func (s *site) wait(what string, cond func() bool) {
	s.t.Helper()
	require.Eventually(s.t, cond, disasterPatience, 20*time.Millisecond, what)
}

// committed settles the account with the ledger of a database.
func (s *site) committed(d *database) []history.Event {
	s.t.Helper()
	ledger, err := d.ledger(s.t.Context())
	require.NoError(s.t, err)
	events, sum, err := s.account.settle(ledger)
	require.NoError(s.t, err)
	s.t.Logf("%+v", sum)
	return events
}

func (s *site) arrived() (all []history.Arrival) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), disasterPatience)
	defer cancel()
	err := readBack(ctx, s.brokers, s.topics, s.settings.Mode, func(r *kgo.Record) { all = append(all, arrival(r)) })
	require.NoError(s.t, err)
	return all
}

// judge checks what arrived against what was committed, by the promises of the mode.
func (s *site) judge(committed []history.Event, arrived []history.Arrival) history.Findings {
	s.t.Helper()
	found := history.Check(committed, arrived)
	for _, p := range history.Properties() {
		s.t.Logf("%s: %d", p, found.Count(p))
	}
	for _, p := range found.Broken(s.settings.Mode) {
		s.t.Errorf("%s: %d, such as %v", p, found.Count(p), found[p].Offenders[0])
	}
	return found
}

func ids(events []history.Event) map[uuid.UUID]bool {
	found := make(map[uuid.UUID]bool, len(events))
	for _, e := range events {
		found[e.ID] = true
	}
	return found
}
