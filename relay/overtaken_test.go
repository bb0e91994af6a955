package relay

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
	store "github.com/postroom/postroom/internal/store/relay"
)

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

// marking fails after the first part of the marks.
type marking struct {
	database
	parts atomic.Int64
}

func (m *marking) MarkOvertaken(ctx context.Context, l store.Lease, after int64) (int64, bool, error) {
	if n := m.parts.Add(1); n > 1 && n < 4 {
		return after, false, errors.New("connection reset")
	}
	return m.database.MarkOvertaken(ctx, l, after)
}

// Hazard unmarked-overtaking.
// The marks are made in parts. k2 is not delivered while k1 may be unmarked. Otherwise a crash in between
// would leave an event that was overtaken and has no mark.
func TestUnderSkipNothingIsDeliveredBeforeAllMarksAreMade(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		b.park("k")
		b.cfg.OnRejection = Skip
		marks := &marking{}
		b.naive = func(s database) database { marks.database = s; return marks }
		s := b.session()
		b.commit("k", "k2")
		require.Error(t, s.quarantine.load(t.Context()))
		require.False(t, s.quarantine.loaded)
		require.Error(t, s.quarantine.load(t.Context()))
		require.NoError(t, s.quarantine.load(t.Context()))
		b.parkedAre("k failed overtaken")
		require.EqualValues(t, 4, marks.parts.Load(), "the part that was marked is not done again")
		_, _, err := s.readAndDeliver(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"k2"}, b.sink.values())
	})
}

// overtaking rejects one record after it has accepted those behind it.
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
		require.Empty(t, r.overtaken, "it is remembered until it is parked, and no longer")
	})
}
