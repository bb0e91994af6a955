package relay

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/outbox"
)

// In these tests one bad topic, key or partition must not delay others.

func (b *bench) commitTo(topic, key string, values ...string) {
	b.t.Helper()
	tx := b.begin()
	for _, v := range values {
		require.NoError(b.t,
			b.ob.Add(context.Background(), tx, outbox.Event{Topic: topic, Key: key, Payload: []byte(v)}))
	}
	require.NoError(b.t, tx.Commit())
}

func refuseBad(r *Record) error {
	if strings.HasPrefix(string(r.Payload), "bad") {
		return Rejected(errRefused)
	}
	return nil
}

// Rejected events are between those of a healthy topic. The healthy ones wait for the session that finds out,
// and not for the trial of the other topic. In the past each rejected event was rejected on its own, and
// after each the session paused as if the sink had failed.
func TestABurstOfRefusedEventsDelaysNoOtherTopic(t *testing.T) {
	const bad, healthy = 40, 200
	seed := func(b *bench) {
		for i := range bad {
			b.commitTo("t", "k", numbered("k", healthy)[i*healthy/bad:(i+1)*healthy/bad]...)
			b.commitTo("bad", "", fmt.Sprint("bad", i))
		}
		b.commitTo("bad", "", "good")
	}
	// ended returns how many sessions have ended with a rejection.
	check := func(t *testing.T, b *bench, values func() []string, ended func() int) {
		sent := func() (n int) {
			for _, v := range values() {
				if strings.HasPrefix(v, "k") {
					n++
				}
			}
			return n
		}
		eventually(t, "the healthy topic is delivered", func() bool { return sent() == healthy })
		require.LessOrEqual(t, ended(), 5, "sessions that ended until then")
		b.commitTo("t", "k", fmt.Sprint("k", healthy+1))
		eventually(t, "what comes later is delivered too", func() bool { return sent() == healthy+1 })
		eventually(t, "every refused event is parked", func() bool { return len(b.parked()) == bad })
		eventually(t, "and nothing else is left", b.empty)
		require.Contains(t, values(), "good")
		require.True(t, inOrder(values(), "k"))
		require.LessOrEqual(t, ended(), bad+bad/2, "one for each, and few to find that they are alone")
	}
	t.Run("at least once", func(t *testing.T) {
		t.Parallel()
		dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
			b := newBench(t, db)
			b.sink.verdict = refuseBad
			seed(b)
			stop := b.start()
			check(t, b, b.sink.values, func() int {
				b.sink.mu.Lock()
				defer b.sink.mu.Unlock()
				return b.sink.sessions - 1
			})
			require.NoError(t, stop())
		})
	})
	t.Run("exactly once", func(t *testing.T) {
		t.Parallel()
		eachExactly(t, func(t *testing.T, b *exactly) {
			b.broker.verdict, b.broker.blameAll = refuseBad, true
			seed(b.bench)
			stop := b.start()
			check(t, b.bench, b.broker.values, func() int {
				b.broker.mu.Lock()
				defer b.broker.mu.Unlock()
				return len(b.broker.refused)
			})
			require.NoError(t, stop())
			require.Empty(t, b.broker.twice())
		})
	})
}

// standing is a sink that does not acknowledge records of some topics, or reports these topics as not ready.
type standing struct {
	*testSink
	mu       sync.Mutex
	still    map[string]bool
	notReady map[string]bool
	kept     []heldAck
	most     int // the highest number of records kept at a time
}

type standingSession struct {
	*testSession
	sink *standing
}

func (s *standing) Open(ctx context.Context, ack Ack) (Session, error) {
	session, err := s.testSink.Open(ctx, ack)
	if err != nil {
		return nil, err
	}
	return &standingSession{session.(*testSession), s}, nil
}

func (s *standingSession) Deliver(ctx context.Context, records []*Record) {
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	for _, r := range records {
		if s.sink.still[r.Topic] {
			s.sink.kept = append(s.sink.kept, heldAck{s.testSession, r})
			s.sink.most = max(s.sink.most, len(s.sink.kept))
			continue
		}
		s.testSession.Deliver(ctx, []*Record{r})
	}
}

func (s *standingSession) Close() {
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	for _, h := range s.sink.kept {
		s.ack(h.record, ErrGivenUp)
	}
	s.sink.kept = nil
	s.testSession.Close()
}

func (s *standingSession) Learn(context.Context, []*Record) {}
func (s *standingSession) Lane(*Record) int32               { return 0 }
func (s *standingSession) Ready(topic string, _ int32) bool {
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	return !s.sink.notReady[topic]
}

// goOn lets a topic continue.
func (s *standing) goOn(topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.still, topic)
	delete(s.notReady, topic)
	for _, h := range s.kept {
		h.session.Deliver(context.Background(), []*Record{h.record})
	}
	s.kept = nil
}

func (s *standing) of(key string) (values []string) {
	for _, v := range s.values() {
		if strings.HasPrefix(v, key) {
			values = append(values, v)
		}
	}
	return values
}

// A blocked topic has more rows than the window holds, in front of rows of other topics. In the past they
// took the whole window, and nothing moved.
func TestATopicThatStandsStillLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.cfg.MaxInFlight, b.cfg.BatchSize = 100, 20
		b.cfg.sweepEvery = b.cfg.RetryMin // a row on the shelf must never be taken for a stray
		sink := &standing{testSink: b.sink, still: map[string]bool{"still": true}}
		r := b.relay()
		r.cfg.Sink = sink
		b.commitTo("still", "s", numbered("s", 300)...)
		b.commitTo("t", "k", numbered("k", 50)...)
		b.commitTo("still", "s", "s301")
		stop := start(t, r)
		eventually(t, "the others are delivered", func() bool { return len(sink.of("k")) == 50 })
		require.LessOrEqual(t, sink.most, 80, "half of the window, and a batch")
		b.commitTo("t", "k", "k51")
		eventually(t, "and what comes later", func() bool { return len(sink.of("k")) == 51 })
		sink.goOn("still")
		eventually(t, "all is delivered", b.empty)
		require.NoError(t, stop())
		require.Equal(t, numbered("s", 301), sink.of("s"))
		require.Equal(t, 1, b.sink.sessions)
	})
}

// Records that would only wait in the sink stay in the table, however many there are. They are sent in order
// when that is possible.
func TestRowsOfATopicThatIsNotReadyStayInTheTable(t *testing.T) {
	t.Parallel()
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.cfg.MaxInFlight, b.cfg.BatchSize = 100, 20
		sink := &standing{testSink: b.sink, notReady: map[string]bool{}}
		for i := range 300 {
			topic := fmt.Sprint("missing-", i)
			sink.notReady[topic] = true
			b.commitTo(topic, "m", fmt.Sprint("m", i+1))
		}
		b.commitTo("missing-0", "m", "last1", "last2")
		b.commitTo("t", "k", numbered("k", 50)...)
		r := b.relay()
		r.cfg.Sink = sink
		stop := start(t, r)
		eventually(t, "the others are delivered", func() bool { return len(sink.of("k")) == 50 })
		require.Empty(t, sink.of("m"))
		for i := range 300 {
			sink.goOn(fmt.Sprint("missing-", i))
		}
		eventually(t, "all is delivered", b.empty)
		require.NoError(t, stop())
		require.Len(t, sink.of("m"), 300)
		require.Equal(t, []string{"m1", "last1", "last2"}, slices.DeleteFunc(b.sink.values(), func(v string) bool {
			return v != "m1" && !strings.HasPrefix(v, "last")
		}))
		require.Equal(t, 1, b.sink.sessions)
	})
}

// A parked event that is sent again to a blocked topic delays no other record.
func TestARetryThatStandsStillDelaysNoOther(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	b.refuse("bad")
	sink := &standing{testSink: b.sink, still: map[string]bool{}}
	r := b.relay()
	r.cfg.Sink = sink
	b.commitTo("still", "s", "bad")
	stop := start(t, r)
	b.parkedAre("bad failed")
	sink.mu.Lock()
	sink.still["still"] = true
	sink.mu.Unlock()
	b.refuse("nothing")
	b.ask("retry", "state = 'failed'")
	eventually(t, "it is with the sink",
		func() bool { sink.mu.Lock(); defer sink.mu.Unlock(); return len(sink.kept) == 1 })
	b.commitTo("t", "k", "k1", "k2")
	eventually(t, "the others are delivered", func() bool { return len(sink.of("k")) == 2 })
	sink.goOn("still")
	b.parkedAre()
	require.NoError(t, stop())
}

// learning knows a topic's lanes only after it has learnt the topic, as relaykafka knows Kafka's partitions.
type learning struct {
	*standingSession
	learnt map[string]bool
}

func (l *learning) Learn(_ context.Context, records []*Record) {
	for _, r := range records {
		l.learnt[r.Topic] = true
	}
}

func (l *learning) Lane(r *Record) int32 {
	if l.learnt[r.Topic] {
		return 0
	}
	return -1
}

func (l *learning) Ready(topic string, lane int32) bool {
	return lane < 0 || l.standingSession.Ready(topic, lane)
}

type learningSink struct{ *standing }

func (s learningSink) Open(ctx context.Context, ack Ack) (Session, error) {
	session, err := s.standing.Open(ctx, ack)
	if err != nil {
		return nil, err
	}
	return &learning{session.(*standingSession), make(map[string]bool)}, nil
}

// An operator retries a parked event for a partition without a leader, and nothing else of its topic was
// read. In the past it was given to the sink, which could only keep it, and the other retries waited for it.
func TestARetryForALaneThatIsNotReadyDelaysNoOtherRetry(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	b.refuse("bad", "k1")
	b.commitTo("still", "s", "bad")
	stop := b.start()
	b.parkedAre("bad failed")
	b.commitTo("t", "k", "k1")
	b.parkedAre("bad failed", "k1 failed")
	require.NoError(t, stop())
	b.refuse()
	sink := &standing{testSink: b.sink, still: map[string]bool{"still": true}, notReady: map[string]bool{"still": true}}
	r := b.relay()
	r.cfg.Sink = learningSink{sink}
	b.ask("retry", "topic = 'still'")
	stop = start(t, r)
	b.commitTo("t", "o", "o1")
	eventually(t, "others are delivered", func() bool { return len(sink.of("o")) == 1 })
	b.ask("retry", "topic = 't'")
	b.parkedAre("bad retry")
	sink.goOn("still")
	b.parkedAre()
	require.NoError(t, stop())
}
