package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/dialect"
)

var errRefused = errors.New("too large")

// refuse makes the sink refuse records with one of the values, and blame all that follow,
// as a broker does that answers for batches.
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
	rows, err := b.db.DB.QueryContext(context.Background(), "SELECT payload, state, overtaken FROM outbox_parked ORDER BY seq")
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
	eventually(b.t, "published: "+strings.Join(values, ", "), func() bool { return len(b.sink.values()) >= len(values) })
	require.Equal(b.t, values, b.sink.values())
}

// Of 60 records the 20th is refused, and the sink blames it and all that follow. The row
// at fault is parked, later ones of its key behind it, and every other key flows: had
// the others of its batch been parked too, good events would wait for an operator
// (hazard 12).
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
	store
	count atomic.Int64
}

func (m *moves) Park(ctx context.Context, l dialect.Lease, rows []dialect.Parking) (int64, error) {
	m.count.Add(1)
	return m.store.Park(ctx, l, rows)
}

func TestARetrySendsTheKeyInOrderBeforeItsNewerEventsAndUnblocksIt(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		moved := &moves{}
		b.naive = func(s store) store { moved.store = s; return moved }
		b.refuse("k1")
		b.commit("k", numbered("k", 4)...)
		stop := b.start()
		b.parkedAre("k1 failed", "k2 blocked", "k3 blocked", "k4 blocked")
		b.refuse()
		b.ask("retry", "state = 'failed'")
		b.parkedAre()
		before := moved.count.Load()
		b.commit("k", "k5")
		b.published(numbered("k", 5)...)
		require.NoError(t, stop())
		require.Equal(t, before, moved.count.Load(), "k5 did not go aside")
	})
}

func TestARetryThatIsRefusedAgainLeavesTheKeyAsItWas(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.refuse("k1", "k3")
		b.commit("k", numbered("k", 4)...)
		b.commit("", "free")
		stop := b.start()
		b.parkedAre("k1 failed", "k2 blocked", "k3 blocked", "k4 blocked")
		b.ask("retry", "state = 'failed'")
		eventually(t, "it was tried again", func() bool { return b.attempts(t, "k1") == 2 })
		b.parkedAre("k1 failed", "k2 blocked", "k3 blocked", "k4 blocked")

		b.refuse("k3")
		b.ask("retry", "state = 'failed'")
		b.parkedAre("k3 failed", "k4 blocked")
		require.Equal(t, []string{"free", "k1", "k2"}, b.sink.values())
		b.refuse()
		b.ask("retry", "state = 'failed'")
		b.parkedAre()
		require.NoError(t, stop())
		require.Equal(t, []string{"free", "k1", "k2", "k3", "k4"}, b.sink.values())
	})
}

func (b *bench) attempts(t *testing.T, value string) (n int) {
	t.Helper()
	rows, err := b.db.DB.QueryContext(context.Background(), "SELECT payload, attempts FROM outbox_parked")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var payload []byte
		var attempts int
		require.NoError(t, rows.Scan(&payload, &attempts))
		if string(payload) == value {
			n = attempts
		}
	}
	require.NoError(t, rows.Err())
	return n
}

func TestADroppedHeadIsRecordedAndItsFollowersAreSent(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.refuse("k1")
		b.commit("k", numbered("k", 3)...)
		stop := b.start()
		b.parkedAre("k1 failed", "k2 blocked", "k3 blocked")
		b.ask("drop", "state = 'failed'")
		b.parkedAre()
		b.commit("k", "k4")
		b.published("k2", "k3", "k4")
		require.NoError(t, stop())
		var dropped int
		require.NoError(t, db.DB.QueryRow("SELECT COUNT(*) FROM outbox_drops WHERE topic = 't'").Scan(&dropped))
		require.Equal(t, 1, dropped)
	})
}

// A key whose events keep coming is caught up with: nothing may be read between the
// replay of its last parked rows and the unblocking.
func TestAKeyThatKeepsComingIsUnblocked(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	b.refuse("k1")
	b.commit("k", "k1", "k2")
	var running atomic.Bool
	running.Store(true)
	stop := b.start()
	b.parkedAre("k1 failed", "k2 blocked")
	b.refuse()
	written := make(chan []string)
	go func() {
		values := []string{"k1", "k2"}
		for n := 3; running.Load(); n++ {
			values = append(values, fmt.Sprintf("k%d", n))
			b.commit("k", values[n-1])
		}
		written <- values
	}()
	b.ask("retry", "state = 'failed'")
	eventually(t, "the key is unblocked while events come", func() bool { return len(b.parked()) == 0 })
	running.Store(false)
	values := <-written
	b.published(values...)
	require.NoError(t, stop())
}

func TestTheHaltPolicyParksNothingAndSkipBlocksNothing(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.refuse("k2")
		b.cfg.OnRejection = Halt
		b.commit("k", numbered("k", 4)...)
		var rejected *RejectedError
		require.ErrorAs(t, b.relay().Run(t.Context()), &rejected)
		require.Empty(t, b.parked())
		require.Equal(t, 3, b.rows())

		b.cfg.OnRejection = Skip
		stop := b.start()
		b.published("k1", "k3", "k4")
		b.parkedAre("k2 failed overtaken")
		b.refuse()
		b.ask("retry", "state = 'failed'")
		b.published("k1", "k3", "k4", "k2")
		require.NoError(t, stop())
	})
}

func TestUnderSkipWhatAnotherPolicyHasParkedIsOvertaken(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.refuse("k1")
		b.commit("k", "k1", "k2")
		stop := b.start()
		b.parkedAre("k1 failed", "k2 blocked")
		require.NoError(t, stop())
		b.cfg.OnRejection = Skip
		b.commit("k", "k3")
		stop = b.start()
		b.published("k3")
		b.parkedAre("k1 failed overtaken", "k2 blocked overtaken")
		require.NoError(t, stop())
	})
}

// marking breaks after the first part of the marks.
type marking struct {
	store
	parts atomic.Int64
}

func (m *marking) Overtake(ctx context.Context, l dialect.Lease, after int64) (int64, bool, error) {
	if n := m.parts.Add(1); n > 1 && n < 4 {
		return after, false, errors.New("connection reset")
	}
	return m.store.Overtake(ctx, l, after)
}

// The marks are made in parts. k2 is not delivered while k1 may be unmarked: a crash in
// between would leave an event that has been overtaken, and does not say so.
func TestUnderSkipNothingIsDeliveredBeforeAllMarksAreMade(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.park("k")
		b.cfg.OnRejection = Skip
		marks := &marking{}
		b.naive = func(s store) store { marks.store = s; return marks }
		s := b.session()
		b.commit("k", "k2")
		require.Error(t, s.loadBlocked(t.Context()))
		require.False(t, s.settled)
		require.Error(t, s.loadBlocked(t.Context()))
		require.NoError(t, s.loadBlocked(t.Context()))
		b.parkedAre("k failed overtaken")
		require.EqualValues(t, 4, marks.parts.Load(), "the part that was marked is not done again")
		_, _, err := s.poll(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"k2"}, b.sink.values())
	})
}

// judging is a sink that tells what it would refuse.
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

func (j *judgingSession) Refuses(r *Record) error { return j.refuses(r) }

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
		r.topics = newTopicList(r.cfg.Topics)
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

func TestARetryOfEventsThatWouldBeRefusedAgainIsOneLineInTheLog(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		r := b.relay()
		log := &lines{}
		r.log = slog.New(log)
		r.cfg.Sink = &judging{b.sink, func(*Record) error { return errRefused }}
		b.commit("", numbered("x", 20)...)
		stop := start(t, r)
		tried := func(times int) func() bool {
			return func() bool { return b.attempts(t, "x20") >= times }
		}
		eventually(t, "they are parked", tried(1))
		b.ask("retry", "state = 'failed'")
		eventually(t, "they were judged again", tried(2))
		require.Equal(t, 1, log.count("would be refused again"))
		eventually(t, "a later wish is told of, too", func() bool {
			b.ask("retry", "state = 'failed'")
			return log.count("would be refused again") > 1
		})
		require.NoError(t, stop())
	})
}

// impatient parks at once what would be refused.
type impatient struct {
	store
	parked chan struct{}
}

func (s *impatient) Park(ctx context.Context, l dialect.Lease, rows []dialect.Parking) (int64, error) {
	n, err := s.store.Park(ctx, l, rows)
	if s.parked != nil && err == nil {
		close(s.parked)
		s.parked = nil
	}
	return n, err
}

// k1 is with the broker when k2 turns out to be refused. k1 then fails in an outage, and is
// read again: had k2 been parked already, k1 would find its key blocked and be parked
// behind it (hazard 16).
func TestAnEventIsParkedOnlyWhenTheEarlierOnesOfItsKeyAreDelivered(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.sink.hold = true
		parked := make(chan struct{})
		b.naive = func(s store) store { return &impatient{store: s, parked: parked} }
		r := b.relay()
		r.cfg.Sink = &judging{b.sink, refusesValue("k2")}
		b.commit("k", "k1", "k2")
		stop := start(t, r)
		eventually(t, "k1 is on its way", func() bool { return b.sink.count() == 1 })
		require.Never(t, func() bool { return len(b.parked()) > 0 }, pollQuiet, pollQuiet/10, "k2 waits for k1")
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

// answerless loses the answers to moves that were made.
type answerless struct {
	store
	lose atomic.Bool
}

func (s *answerless) Park(ctx context.Context, l dialect.Lease, rows []dialect.Parking) (int64, error) {
	n, err := s.store.Park(ctx, l, rows)
	if err == nil && s.lose.Swap(false) {
		return 0, errors.New("connection reset")
	}
	return n, err
}

func (s *answerless) Unpark(ctx context.Context, l dialect.Lease, rows []dialect.DeliveredParked) ([]dialect.EventKey, error) {
	if s.lose.Swap(false) {
		return nil, errors.New("connection reset")
	}
	return s.store.Unpark(ctx, l, rows)
}

// A row was parked and the answer was lost. Were the key taken for free, the next event
// of it would be delivered before the parked one.
func TestAMoveWhoseAnswerWasLostBlocksItsKeyAllTheSame(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		lossy := &answerless{}
		lossy.lose.Store(true)
		b.naive = func(s store) store { lossy.store = s; return lossy }
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

// settling tells that a reader waits for the moves that are still committing.
type settling struct {
	store
	waits chan struct{}
}

func (s settling) Settle(ctx context.Context, l dialect.Lease) error {
	close(s.waits)
	return s.store.Settle(ctx, l)
}

// The connection broke while a row was being parked, and the database is still at it. A
// reader that looked for blocked keys meanwhile would take the key for free (hazard 16).
func TestTheBlockedKeysAreReadBehindAMoveThatIsStillCommitting(t *testing.T) {
	concurrentWriters(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.commit("k", "k1")
		s := b.session()
		waits, done := make(chan struct{}), make(chan error, 1)
		s.relay.store = settling{s.relay.store, waits}
		move := b.begin()
		for _, statement := range []string{
			"UPDATE outbox_leases SET epoch = epoch WHERE id = 1",
			`INSERT INTO outbox_parked (id, event_id, topic, event_key, event_type, headers, created_at)
SELECT id, event_id, topic, event_key, event_type, headers, created_at FROM outbox_events`,
		} {
			_, err := move.ExecContext(t.Context(), statement)
			require.NoError(t, err)
		}
		go func() { done <- s.loadBlocked(t.Context()) }()
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

func TestWhatWasReplayedIsDeletedNotSentAgainWhenTheDeleteFails(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		lossy := &answerless{}
		b.naive = func(s store) store { lossy.store = s; return lossy }
		b.refuse("k1")
		b.commit("k", "k1", "k2")
		stop := b.start()
		b.parkedAre("k1 failed", "k2 blocked")
		b.refuse()
		lossy.lose.Store(true)
		b.ask("retry", "state = 'failed'")
		b.parkedAre()
		require.NoError(t, stop())
		require.Equal(t, []string{"k1", "k2"}, b.sink.values())
	})
}

// overtaking refuses one record after it has taken those behind it.
type overtaking struct{ *testSink }

func (o overtaking) Open(ctx context.Context, ack Ack) (Session, error) {
	s, err := o.testSink.Open(ctx, ack)
	return &overtakingSession{s, ack}, err
}

type overtakingSession struct {
	Session
	ack Ack
}

func (s *overtakingSession) Deliver(ctx context.Context, records []*Record) {
	var bad []*Record
	for _, r := range records {
		if string(r.Payload) == "bad" {
			bad = append(bad, r)
		} else {
			s.Session.Deliver(ctx, []*Record{r})
		}
	}
	for _, r := range bad {
		s.ack(r, Rejected(errRefused))
	}
}

func TestAnEventThatLaterOnesOfItsKeyHaveOvertakenIsMarked(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		r := b.relay()
		r.cfg.Sink = overtaking{b.sink}
		b.commit("k", "bad", "k2")
		b.commit("c", "bad")
		stop := start(t, r)
		b.parkedAre("bad failed overtaken", "bad failed")
		require.NoError(t, stop())
		require.Equal(t, []string{"k2"}, b.sink.values())
	})
}
