package relay

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/gaps"
)

// session claims the lease and opens a session by hand. Nothing ends its reader.
func (b *bench) session() *session {
	b.t.Helper()
	r := b.relay()
	k, err := r.claim(b.t.Context())
	require.NoError(b.t, err)
	s := newSession(r, k)
	out, err := b.sink.Open(b.t.Context(), s.ack)
	require.NoError(b.t, err)
	s.useSink(out)
	return s
}

// keyGates rejects one record, and after that gives up only records of its key, as the contract of Session
// allows.
type keyGates struct {
	ack       Ack
	published atomic.Int64
}

func (g *keyGates) Close() {}
func (g *keyGates) Deliver(_ context.Context, records []*Record) {
	for _, r := range records {
		if string(r.Key) == "p" {
			g.ack(r, Rejected(errors.New("too large")))
			continue
		}
		g.published.Add(1)
		g.ack(r, nil)
	}
}

// Hazard left-out-record.
// Records of a batch are sent one at a time. The first is rejected, so the others are left out although the
// head has passed them. Nothing has stopped the reader yet. Another read would find a later record of a key
// that was left out, and deliver it.
func TestAfterARecordWasLeftOutNothingMoreIsRead(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	b.cfg.BatchSize = 2
	b.commit("p", "refused")
	b.commit("k", "k1")
	b.commit("k", "k2")
	s := b.session()
	s.isolation.trials.Reject("t", 1)
	sink := &keyGates{ack: s.ack}
	s.sink = sink
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.readLoop(ctx) }()
	eventually(t, "the reader ends, or goes on", func() bool {
		select {
		case <-ended:
			return true
		default:
			return sink.published.Load() > 0
		}
	})
	cancel()
	<-ended
	require.Zero(t, sink.published.Load(), "k2 was delivered, and k1 was not")
}

// closings counts the sessions of a sink that were closed.
type closings struct {
	*testSink
	closed atomic.Int64
}

func (c *closings) Open(ctx context.Context, ack Ack) (Session, error) {
	s, err := c.testSink.Open(ctx, ack)
	return &closing{s, &c.closed}, err
}

type closing struct {
	Session
	closed *atomic.Int64
}

func (c *closing) Close() { c.Session.Close(); c.closed.Add(1) }

// Hazard failed-delete.
// The sink and the deletes fail together, for longer than a session waits for its deletes, while the lease is
// held. A new session would read delivered rows, and send them again.
func TestADeleteThatFailsThroughAnOutageOfTheSinkCausesNoDuplicate(t *testing.T) {
	t.Parallel()
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	b.cfg.LeaseTTL = 2 * time.Second
	gone := &away{}
	gone.broken.Store(true)
	b.naive = func(s database) database { gone.database = s; return gone }
	sink := &closings{testSink: b.sink}
	b.sink.verdict = func(r *Record) error {
		if string(r.Payload) == "k2" && gone.broken.Load() {
			return errors.New("the broker is away")
		}
		return nil
	}
	b.commit("k", "k1")
	b.commit("k", "k2")
	r := b.relay()
	r.cfg.Sink = sink
	var failed atomic.Int64
	gone.failed = &failed
	stop := start(t, r)
	eventually(t, "the first session is over", func() bool { return sink.closed.Load() == 1 })
	before := failed.Load()
	eventually(t, "another session begins, or the delete fails again", func() bool {
		b.sink.mu.Lock()
		defer b.sink.mu.Unlock()
		return len(b.sink.published) > 1 || failed.Load() >= before+300
	})
	gone.broken.Store(false)
	eventually(t, "all are delivered", b.empty)
	require.NoError(t, stop())
	require.Equal(t, []string{"k1", "k2"}, b.sink.values())
}

func TestAStopWithDeliveredRowsOfAnEarlierTurnUndeletedSaysSo(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	gone := &away{}
	gone.broken.Store(true)
	b.naive = func(s database) database { gone.database = s; return gone }
	r := b.relay()
	r.leftover.events = []store.Delivered{{Event: store.Event{ID: 1, EventID: uuid.New()}}}
	k, err := r.claim(t.Context())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done, err := r.runTerm(ctx, k)
	require.True(t, done)
	require.ErrorIs(t, err, ErrNotDrained)
	held, err := r.store.Held(t.Context(), k.lease)
	require.NoError(t, err)
	require.True(t, held, "the lease was released although the next owner would send those rows again")
}

// A publisher may fail with context.Canceled for reasons of its own. That is an outage: it is logged, and the
// relay pauses. Only records that Deliver did not accept after it was told to stop count as never sent.
func TestASinkThatFailsWithCanceledIsAnOutage(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	b.sink.verdict = func(*Record) error { return fmt.Errorf("publish: %w", context.Canceled) }
	b.commit("k", "k1")
	r := b.relay()
	k, err := r.claim(t.Context())
	require.NoError(t, err)
	out := newSession(r, k).run(t.Context())
	require.ErrorContains(t, out.outage, "publish")
	require.Equal(t, 1, out.undelivered)
}

// full is a sink whose Deliver accepts one record, and then blocks.
type full struct {
	ack     Ack
	blocked chan struct{}
}

func (f *full) Check(context.Context) error                      { return nil }
func (f *full) Open(_ context.Context, ack Ack) (Session, error) { f.ack = ack; return f, nil }
func (f *full) Close()                                           {}
func (f *full) Deliver(ctx context.Context, records []*Record) {
	f.ack(records[0], nil)
	close(f.blocked)
	<-ctx.Done()
	for _, r := range records[1:] {
		f.ack(r, ctx.Err())
	}
}

func TestAStopWhileTheSinkIsFullDrainsAndReleasesTheLease(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	b.commit("k", numbered("k", 10)...)
	sink := &full{blocked: make(chan struct{})}
	r := b.relay()
	r.cfg.Sink = sink
	stop := start(t, r)
	<-sink.blocked
	require.NoError(t, stop())
	require.Equal(t, 9, b.rows())
	_, ok := claim(t, newStore(t, b.db), time.Second)
	require.True(t, ok)
}

// shut is a sink that cannot be opened.
type shut struct {
	*testSink
	opening chan struct{}
}

func (s *shut) Open(ctx context.Context, _ Ack) (Session, error) {
	close(s.opening)
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestAStopEndsAnOpenThatHangs(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	b.cfg.LeaseTTL = 2 * time.Second // it would end with the lease if the lease were not renewed
	sink := &shut{b.sink, make(chan struct{})}
	r := b.relay()
	r.cfg.Sink = sink
	stop := start(t, r)
	<-sink.opening
	require.NoError(t, stop())
}

// deadGaps returns gaps whose writers have all ended.
func deadGaps(ranges ...store.Range) gaps.Set {
	set := gaps.New(512)
	for _, r := range ranges {
		set.Add(r)
	}
	set.Observe(store.Writers{Known: true})
	return set
}

// mergedGap returns one gap that covers ids which were seen.
func mergedGap(first, last int64) gaps.Set {
	set := gaps.New(1)
	set.Add(store.Range{Lo: first, Hi: first})
	set.Add(store.Range{Lo: last, Hi: last})
	set.Merge()
	return set
}

// Hazard cut-read.
// A read that is cut above the head has returned all of its gaps. Under a steady backlog every read is cut.
// If such reads forgot no gap, a gap over millions of deleted rows would be asked for, and walked over, in
// each of them.
func TestAReadThatIsCutAboveTheHeadForgetsDeadGaps(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	b.commit("k", numbered("k", 12)...)
	s := b.session()
	s.cursor.head = 7
	s.cursor.gaps = deadGaps(store.Range{Lo: 2, Hi: 3})
	read, err := s.cursor.read(t.Context(), 4, 1<<20)
	require.NoError(t, err)
	require.Len(t, read.records, 4) // 2, 3, 8 and 9 of 12
	require.Zero(t, s.cursor.gaps.Len())
	require.Equal(t, int64(9), s.cursor.head)
}

// Hazard cut-read.
// Gaps that are proved dead are forgotten after a read that has looked into all of them. A read that was cut
// in the gaps has not, and has not yet read what their writers committed at last.
func TestACutReadForgetsNoGap(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	b.commit("k", numbered("k", 7)...)
	s := b.session()
	s.cursor.head = 7
	s.cursor.gaps = deadGaps(store.Range{Lo: 2, Hi: 3}, store.Range{Lo: 5, Hi: 6})
	first, err := s.cursor.read(t.Context(), 2, 1<<20)
	require.NoError(t, err)
	require.Len(t, first.records, 2)
	second, err := s.cursor.read(t.Context(), 10, 1<<20)
	require.NoError(t, err)
	require.Len(t, second.records, 2, "rows 5 and 6 are lost until the sweep finds them")
	_, err = s.cursor.read(t.Context(), 10, 1<<20)
	require.NoError(t, err)
	require.Zero(t, s.cursor.gaps.Len())
}

// If gaps were merged, the read returns rows in flight from between them. However many they are, the read
// must reach the rows above the head.
func TestRowsInFlightDoNotUseUpTheLimitOfARead(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	b.commit("k", numbered("k", 4)...)
	s := b.session()
	b.sink.hold = true
	first, err := s.cursor.read(t.Context(), 10, 1<<20)
	require.NoError(t, err)
	require.True(t, s.deliver(t.Context(), s.isolation.holdBack(t.Context(), first.records)))
	s.cursor.gaps = mergedGap(1, 4)
	b.commit("k", "k5")
	for name, again := range map[string]func(){"from a merged gap": func() {}, "from the start": s.startOver} {
		again()
		second, err := s.cursor.read(t.Context(), 2, 1<<20)
		require.NoError(t, err)
		require.Len(t, second.records, 1, name)
		s.cursor.head = 4
		s.cursor.gaps = mergedGap(1, 4)
	}
}

// Hazard paused-owner.
// A delete that removes fewer rows than it named may have lost its lease. The relay must find that out before
// anything else. If it read from the start instead, it would go on publishing beside the new owner for as
// long as it trusts its clock.
func TestADeleteThatIsFencedEndsTheTurn(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.commit("k", "k1", "k2")
		s := b.session()
		found, err := s.cursor.read(t.Context(), 10, 1<<20)
		require.NoError(t, err)
		require.True(t, s.deliver(t.Context(), s.isolation.holdBack(t.Context(), found.records)))
		b.exec("UPDATE outbox_leases SET owner = 'successor', epoch = epoch + 1")
		taken := s.inFlight.TakeDelivered(true, 10)
		require.Len(t, taken, 2)
		require.ErrorIs(t, s.deleter.delete(t.Context(), taken, false), store.ErrLeaseLost)
		require.ErrorIs(t, context.Cause(s.term.ctx), store.ErrLeaseLost)
		require.False(t, s.deleter.readFromStart.Load())
		require.Equal(t, 2, b.rows())
	})
}
