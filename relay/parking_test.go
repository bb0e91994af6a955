package relay

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sqldb "github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/topics"
)

var errRefused = errors.New("too large")

// refuse makes the sink reject records with one of the values, and all records that follow, like a broker
// that answers for whole batches.
func (b *bench) refuse(values ...string) {
	b.sink.mu.Lock()
	defer b.sink.mu.Unlock()
	b.sink.verdict = func(r *Record) error {
		for _, v := range values {
			if string(r.Payload) == v {
				return Rejected(errRefused)
			}
		}
		return nil
	}
	b.sink.blame = Rejected(errRefused)
}

// parked lists the parked rows by seq: "value state".
func (b *bench) parked() []string {
	b.t.Helper()
	rows, err := b.db.DB.QueryContext(context.Background(),
		"SELECT payload, state, overtaken FROM outbox_parked ORDER BY seq")
	require.NoError(b.t, err)
	defer rows.Close()
	list := []string{}
	for rows.Next() {
		var payload []byte
		var state string
		var overtaken bool
		require.NoError(b.t, rows.Scan(&payload, &state, &overtaken))
		if overtaken {
			state += " overtaken"
		}
		list = append(list, string(payload)+" "+state)
	}
	require.NoError(b.t, rows.Err())
	return list
}

func (b *bench) parkedAre(want ...string) {
	b.t.Helper()
	last := []string{}
	defer func() {
		if b.t.Failed() {
			b.t.Log("parked: ", last)
		}
	}()
	eventually(b.t, "parked: "+strings.Join(want, ", "), func() bool {
		last = b.parked()
		return fmt.Sprint(last) == fmt.Sprint(want)
	})
}

// ask sets the state of parked rows, as an operator does.
func (b *bench) ask(state, where string) {
	b.t.Helper()
	b.exec("UPDATE outbox_parked SET state = '" + state + "' WHERE " + where)
}

func (b *bench) published(values ...string) {
	b.t.Helper()
	eventually(b.t, "published: "+strings.Join(values, ", "),
		func() bool { return len(b.sink.values()) >= len(values) })
	require.Equal(b.t, values, b.sink.values())
}

// Of 60 records the 20th is rejected, and the sink rejects all that follow with it. The faulty row is parked,
// and later ones of its key behind it. Every other key is delivered. If the other records of the batch were
// parked too, good events would wait for an operator (hazard rejected-batch).
func TestARefusedEventIsParkedAloneAndBlocksItsKeyOnly(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.refuse("bad")
		b.commit("a", "a1", "a2")
		b.commit("k", "k1", "bad", "k2")
		b.commit("c", "c1")
		b.commit("k", "k3")
		b.commit("", "n1")
		stop := b.start()
		b.parkedAre("bad failed", "k2 blocked", "k3 blocked")
		b.published("a1", "a2", "k1", "c1", "n1")

		b.commit("k", "k4")
		b.commit("a", "a3")
		b.parkedAre("bad failed", "k2 blocked", "k3 blocked", "k4 blocked")
		b.published("a1", "a2", "k1", "c1", "n1", "a3")
		require.NoError(t, stop())
		require.Zero(t, b.rows())
	})
}

// moves counts the moves to outbox_parked.
type moves struct {
	database
	count atomic.Int64
}

func (m *moves) Park(ctx context.Context, l store.Lease, rows []store.Parking) (int64, error) {
	m.count.Add(1)
	return m.database.Park(ctx, l, rows)
}

// judging is a sink that reports which records it would reject.
type judging struct {
	*testSink
	refuses func(*Record) error
}

type judgingSession struct {
	Session
	refuses func(*Record) error
}

func (j *judging) Open(ctx context.Context, ack Ack) (Session, error) {
	s, err := j.testSink.Open(ctx, ack)
	return &judgingSession{s, j.refuses}, err
}

func (j *judgingSession) Validate(r *Record) error { return j.refuses(r) }

func refusesValue(value string) func(*Record) error {
	return func(r *Record) error {
		if string(r.Payload) == value {
			return errRefused
		}
		return nil
	}
}

func TestWhatTheSinkOrTheAllowListWouldRefuseIsParkedWithoutANewSession(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		r := b.relay()
		r.cfg.Sink = &judging{b.sink, refusesValue("k2")}
		r.cfg.Topics = []string{"t", "other*"}
		r.topics = topics.NewAllowed(r.cfg.Topics)
		b.commit("k", numbered("k", 3)...)
		b.exec("INSERT INTO outbox_events (topic, payload) VALUES ('strange', 'x')")
		b.exec("INSERT INTO outbox_events (topic, payload) VALUES ('others', 'y')")
		stop := start(t, r)
		b.parkedAre("x failed", "k2 failed", "k3 blocked")
		b.published("k1", "y")
		require.NoError(t, stop())
		require.Equal(t, 1, b.sink.sessions)
	})
}

// impatient parks at once what would be rejected.
type impatient struct {
	database
	parked chan struct{}
}

func (s *impatient) Park(ctx context.Context, l store.Lease, rows []store.Parking) (int64, error) {
	n, err := s.database.Park(ctx, l, rows)
	if s.parked != nil && err == nil {
		close(s.parked)
		s.parked = nil
	}
	return n, err
}

// The broker has k1 when the relay finds that k2 would be rejected. k1 then fails in an outage, and is read
// again. If k2 had been parked already, k1 would find its key blocked and be parked behind k2
// (hazard early-parking).
func TestAnEventIsParkedOnlyWhenTheEarlierOnesOfItsKeyAreDelivered(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.sink.hold = true
		parked := make(chan struct{})
		b.naive = func(s database) database { return &impatient{database: s, parked: parked} }
		r := b.relay()
		r.cfg.Sink = &judging{b.sink, refusesValue("k2")}
		b.commit("k", "k1", "k2")
		stop := start(t, r)
		eventually(t, "k1 is on its way", func() bool { return b.sink.count() == 1 })
		require.Never(t, func() bool { return len(b.parked()) > 0 }, 250*time.Millisecond, 25*time.Millisecond,
			"k2 waits for k1")
		b.sink.fail(errors.New("the broker went away"))
		b.parkedAre("k2 failed")
		require.NoError(t, stop())
		require.Equal(t, []string{"k1"}, b.sink.firstCopies(), "k1 is delivered, not parked behind k2")
	})
}

func TestAClaimLearnsTheBlockedKeysBeforeItReads(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.refuse("k1")
		b.commit("k", "k1")
		stop := b.start()
		b.parkedAre("k1 failed")
		require.NoError(t, stop())

		b.refuse()
		b.commit("k", "k2")
		b.commit("c", "c1")
		stop = b.start()
		b.published("c1")
		b.parkedAre("k1 failed", "k2 blocked")
		require.NoError(t, stop())
	})
}

// answerless loses the answers to moves that succeeded.
type answerless struct {
	database
	lose atomic.Bool
}

func (s *answerless) Park(ctx context.Context, l store.Lease, rows []store.Parking) (int64, error) {
	n, err := s.database.Park(ctx, l, rows)
	if err == nil && s.lose.Swap(false) {
		return 0, errors.New("connection reset")
	}
	return n, err
}

func (s *answerless) Unpark(ctx context.Context, l store.Lease,
	rows []store.DeliveredParked) ([]sqldb.EventKey, error) {
	if s.lose.Swap(false) {
		return nil, errors.New("connection reset")
	}
	return s.database.Unpark(ctx, l, rows)
}

// Hazard lost-parking-answer.
// A row was parked and the answer was lost. If the relay took the key for free, the next event of the key
// would be delivered before the parked one.
func TestAMoveWhoseAnswerWasLostBlocksItsKeyAllTheSame(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		lossy := &answerless{}
		lossy.lose.Store(true)
		b.naive = func(s database) database { lossy.database = s; return lossy }
		r := b.relay()
		r.cfg.Sink = &judging{b.sink, refusesValue("k1")}
		b.commit("k", "k1")
		stop := start(t, r)
		eventually(t, "the answer was lost", func() bool { return !lossy.lose.Load() })
		b.commit("k", "k2")
		b.parkedAre("k1 failed", "k2 blocked")
		require.NoError(t, stop())
		require.Empty(t, b.sink.values())
	})
}

// settling signals that a reader waits for moves that are still committing.
type settling struct {
	database
	waits chan struct{}
}

func (s settling) WaitForMoves(ctx context.Context, l store.Lease) error {
	close(s.waits)
	return s.database.WaitForMoves(ctx, l)
}

// The connection broke while a row was being parked, and the database is still committing. A reader that
// looked for blocked keys at this moment would take the key for free (hazard lost-parking-answer).
func TestTheBlockedKeysAreReadBehindAMoveThatIsStillCommitting(t *testing.T) {
	concurrentWriters(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.commit("k", "k1")
		s := b.session()
		waits, done := make(chan struct{}), make(chan error, 1)
		s.quarantine.store = settling{s.relay.store, waits}
		move := b.begin()
		for _, statement := range []string{
			"UPDATE outbox_leases SET epoch = epoch WHERE id = 1",
			`INSERT INTO outbox_parked (id, event_id, topic, event_key, event_type, headers, created_at)
SELECT id, event_id, topic, event_key, event_type, headers, created_at FROM outbox_events`,
		} {
			_, err := move.ExecContext(t.Context(), statement)
			require.NoError(t, err)
		}
		go func() { done <- s.quarantine.load(t.Context()) }()
		select {
		case err := <-done:
			require.Fail(t, "it did not wait", "%v", err)
		case <-waits:
		}
		require.NoError(t, move.Commit())
		require.NoError(t, <-done)
		b.blocks(s, "k")
	})
}
