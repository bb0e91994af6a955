package relay

import (
	"context"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/outbox"
)

func TestMain(m *testing.M) {
	if dbtest.Alone() {
		// These tests wait for leases and polls, so more of them can run than there are processors. -parallel on the
		// command line is read later, and wins.
		if err := flag.Set("test.parallel", "8"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait for a condition. It does not measure speed: a test that needs all of it has
// failed.
const patience = 30 * time.Second

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, patience, time.Millisecond, what)
}

// testSink notes what is published, and fails on command.
type testSink struct {
	mu        sync.Mutex
	published []published
	held      []heldAck
	hold      bool                 // keep acknowledgements until release is called
	verdict   func(*Record) error  // nil: delivered
	blame     error                // the error of later records in a failed session; default ErrGivenUp
	onOpen    func(turn int) error // called by Open with its number, from 1
	sessions  int
}

type published struct {
	id      int64
	eventID uuid.UUID
	key     string
	value   string
}

type heldAck struct {
	session *testSession
	record  *Record
}

type testSession struct {
	sink   *testSink
	ack    Ack
	closed bool
	gate   bool
}

func (s *testSink) Check(context.Context) error { return nil }

func (s *testSink) Open(_ context.Context, ack Ack) (Session, error) {
	s.mu.Lock()
	s.sessions++
	n, hook := s.sessions, s.onOpen
	s.mu.Unlock()
	if hook != nil {
		if err := hook(n); err != nil {
			return nil, err
		}
	}
	return &testSession{sink: s, ack: ack}, nil
}

func (s *testSession) Deliver(_ context.Context, records []*Record) {
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	for _, r := range records {
		if s.gate && s.sink.blame != nil {
			s.ack(r, s.sink.blame)
			continue
		}
		if s.gate || s.closed {
			s.ack(r, ErrGivenUp)
			continue
		}
		if s.sink.verdict != nil {
			if err := s.sink.verdict(r); err != nil {
				s.gate = true
				s.ack(r, err)
				continue
			}
		}
		s.sink.published = append(s.sink.published,
			published{id: r.ID, eventID: r.EventID, key: string(r.Key), value: string(r.Payload)})
		if s.sink.hold {
			s.sink.held = append(s.sink.held, heldAck{s, r})
			continue
		}
		s.ack(r, nil)
	}
}

func (s *testSession) Close() {
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.closed = true
	kept := s.sink.held[:0]
	for _, h := range s.sink.held {
		if h.session == s {
			s.ack(h.record, ErrGivenUp)
		} else {
			kept = append(kept, h)
		}
	}
	s.sink.held = kept
}

// release acknowledges the held records, and stops holding.
func (s *testSink) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = false
	for _, h := range s.held {
		h.session.ack(h.record, nil)
	}
	s.held = nil
}

// releaseFirst acknowledges the first n held records.
func (s *testSink) releaseFirst(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.held[:n] {
		h.session.ack(h.record, nil)
	}
	s.held = s.held[n:]
}

// fail gives the held records up because of err, and stops holding.
func (s *testSink) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = false
	for _, h := range s.held {
		h.session.gate = true
		h.session.ack(h.record, err)
	}
	s.held = nil
}

func (s *testSink) values() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	values := make([]string, len(s.published))
	for i, p := range s.published {
		values[i] = p.value
	}
	return values
}

func (s *testSink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.published)
}

// firstCopies returns the values without the later copies of each event.
func (s *testSink) firstCopies() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := make(map[uuid.UUID]bool)
	var values []string
	for _, p := range s.published {
		if !seen[p.eventID] {
			values = append(values, p.value)
		}
		seen[p.eventID] = true
	}
	return values
}

// bench is a migrated database with what a test needs.
type bench struct {
	t    *testing.T
	db   dbtest.Database
	ob   *outbox.Outbox
	sink *testSink
	// naive wraps the store. A test uses it to remove a rule.
	naive func(database) database
	over  *sql.DB // the relay's connection to the database; nil: the test's own
	cfg   Config
	ttl   time.Duration // length of the leases of dimRelay; default 2 s
}

func newBench(t *testing.T, db dbtest.Database) *bench {
	ob, err := outbox.New(db.Dialect)
	require.NoError(t, err)
	return &bench{t: t, db: db, ob: ob, sink: &testSink{}, cfg: Config{
		PollMax: 2 * time.Millisecond, LeaseTTL: time.Minute, DrainTimeout: 10 * time.Second,
		RetryMin: time.Millisecond, RetryMax: 20 * time.Millisecond,
		requestsEvery: 5 * time.Millisecond,
	}}
}

// relay makes a relay on the bench's database, with the naive store if there is one.
func (b *bench) relay() *Relay {
	cfg := b.cfg
	cfg.DB, cfg.Dialect, cfg.Sink = b.db.DB, b.db.Dialect, b.sink
	cfg.Logger = slog.New(slog.DiscardHandler)
	if b.over != nil {
		cfg.DB = b.over
	}
	r, err := New(cfg)
	require.NoError(b.t, err)
	if b.naive != nil {
		r.store = b.naive(r.store)
		if s, ok := r.store.(interface{ SingleSnapshot() bool }); ok {
			r.singleSnapshot = s.SingleSnapshot()
		}
	}
	return r
}

// start runs a relay. stop drains it and returns what Run returned.
func (b *bench) start() (stop func() error) { return start(b.t, b.relay()) }

func start(t *testing.T, r *Relay) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- r.Run(ctx) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() { cancel(); err = <-result })
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

// begin opens a transaction that is rolled back at the end of the test if it is still open.
func (b *bench) begin() *sql.Tx {
	b.t.Helper()
	tx, err := b.db.DB.BeginTx(context.Background(), nil)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

func (b *bench) add(tx *sql.Tx, key, value string) {
	b.t.Helper()
	require.NoError(b.t, b.ob.Add(context.Background(), tx, outbox.Event{Topic: "t", Key: key, Payload: []byte(value)}))
}

func (b *bench) commit(key string, values ...string) {
	b.t.Helper()
	tx := b.begin()
	for _, v := range values {
		b.add(tx, key, v)
	}
	require.NoError(b.t, tx.Commit())
}

func (b *bench) exec(query string, args ...any) {
	b.t.Helper()
	_, err := b.db.DB.ExecContext(context.Background(), query, args...)
	require.NoError(b.t, err)
}

func (b *bench) rows() int {
	b.t.Helper()
	var n int
	require.NoError(b.t, b.db.DB.QueryRowContext(context.Background(), "SELECT COUNT(*) FROM outbox_events").Scan(&n))
	return n
}

func (b *bench) empty() bool { return b.rows() == 0 }

// resetIDs makes the ids begin at 1 again, as after a restore of an older state.
func (b *bench) resetIDs() {
	b.t.Helper()
	switch b.db.Dialect {
	case sqldb.PostgreSQL:
		b.exec("TRUNCATE outbox_events RESTART IDENTITY")
	case sqldb.MySQL:
		b.exec("DELETE FROM outbox_events")
		b.exec("ALTER TABLE outbox_events AUTO_INCREMENT = 1")
	case sqldb.SQLite:
		b.exec("DELETE FROM outbox_events")
		b.exec("DELETE FROM sqlite_sequence WHERE name = 'outbox_events'")
	}
}

// concurrentWriters runs f on the databases that allow two writing transactions at the same time.
func concurrentWriters(t *testing.T, f func(t *testing.T, db dbtest.Database)) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		if db.Dialect != sqldb.SQLite { // with one writer at a time the interleaving does not exist
			f(t, db)
		}
	})
}

// inOrder reports whether the numbered values of a key ascend: "k1" before "k2".
func inOrder(values []string, key string) bool {
	last := 0
	for _, v := range values {
		var n int
		if strings.HasPrefix(v, key) {
			if _, err := fmt.Sscanf(v[len(key):], "%d", &n); err != nil || n <= last {
				return false
			}
			last = n
		}
	}
	return true
}

// jsonField returns a field of a JSON object as text, "" if it is not there.
func jsonField(t testing.TB, object, field string) string {
	t.Helper()
	var fields map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(object), &fields))
	return string(fields[field])
}
