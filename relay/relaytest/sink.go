package relaytest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/relay"
)

// Sink runs the suite. It calls newTarget once for each subtest. newTarget must register its own clean-up,
// and return a fresh target: with empty topics and without an outage.
func Sink(t *testing.T, newTarget func(t *testing.T) Target) {
	for _, check := range []struct {
		name string
		run  func(*suite)
	}{
		{"a sink that can be reached passes its check", (*suite).reachable},
		{"every record is acknowledged once, and is there", (*suite).delivers},
		{"records of a key are published in the order given, over many deliveries", (*suite).keepsOrder},
		{"headers, keys and payloads arrive as the contract says", (*suite).wire},
		{"the slice belongs to the caller again after Deliver", (*suite).sliceReuse},
		{"a session opened after another goes on where that ended", (*suite).turns},
		{"no record is published behind a failed one of its key", (*suite).gate},
		{"a record whose headers are not an object is rejected", (*suite).badHeaders},
		{"an outage loses nothing and keeps the order", (*suite).outage},
		{"Close gives up what is under way, and nothing is published after it", (*suite).closeInOutage},
		{"Close ends a Deliver that waits for room", (*suite).closeDuringDeliver},
		{"Deliver blocks no longer than its context lives", (*suite).deliverHonoursContext},
		{"Close of a session that was not used returns", (*suite).closeUnused},
	} {
		t.Run(check.name, func(t *testing.T) {
			target := newTarget(t)
			if target.Patience == 0 {
				target.Patience = 20 * time.Second
			}
			check.run(&suite{Target: target, t: t, ledger: newLedger()})
		})
	}
}

// suite is one running subtest.
type suite struct {
	Target
	maker
	t      *testing.T
	ledger *ledger
}

func (s *suite) open() relay.Session {
	s.t.Helper()
	session, err := s.Sink.Open(s.t.Context(), s.ledger.ack)
	require.NoError(s.t, err)
	return session
}

// within fails the test if fn takes longer than the target's patience.
func (s *suite) within(what string, fn func()) {
	s.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	timeout := time.NewTimer(s.Patience)
	defer timeout.Stop()
	select {
	case <-done:
	case <-timeout.C:
		require.FailNow(s.t, what+" does not return", "after %s", s.Patience)
	}
}

func (s *suite) close(session relay.Session) {
	s.t.Helper()
	s.within("Close", session.Close)
}

// deliver fails the test if the sink does not accept the records. Their number is below what a sink must
// buffer.
func (s *suite) deliver(session relay.Session, records []*relay.Record) {
	s.t.Helper()
	s.within("Deliver", func() { session.Deliver(s.t.Context(), records) })
}

// deliverAll delivers the records as the relay does: in order, and after a failure again in a new session,
// without those that were delivered.
func (s *suite) deliverAll(records []*relay.Record) {
	s.t.Helper()
	deadline := time.Now().Add(s.Patience)
	for len(records) > 0 {
		require.False(s.t, time.Now().After(deadline), "%d records are still not delivered", len(records))
		turn := newLedger()
		session, err := s.Sink.Open(s.t.Context(), turn.ack)
		require.NoError(s.t, err)
		s.deliver(session, records)
		turn.waitFor(s.t, s.Patience, records)
		s.close(session)
		turn.exactlyOnce(s.t, records)
		var again []*relay.Record
		for _, r := range records {
			if turn.answer(s.t, r) != nil {
				again = append(again, r)
			}
		}
		records = again
	}
}

// requireArrived checks that the topic has exactly these records, with those of each key in this order. Of
// several copies, the first counts.
func (s *suite) requireArrived(topic string, records []*relay.Record) {
	s.t.Helper()
	want := make(map[string][]string)
	for _, r := range records {
		if r.Topic == topic {
			want[string(r.Key)] = append(want[string(r.Key)], r.EventID.String())
		}
	}
	require.Equal(s.t, want, byKey(s.Published(s.t, topic)), "event ids of topic %s, by key, in order of arrival",
		topic)
}

// byKey returns the event ids of each key in order, without later copies.
func byKey(messages []Message) map[string][]string {
	got := make(map[string][]string)
	seen := make(map[string]bool)
	for _, m := range messages {
		if id := m.ID(); !seen[id] {
			seen[id] = true
			got[string(m.Key)] = append(got[string(m.Key)], id)
		}
	}
	return got
}

func (s *suite) reachable() {
	ctx, cancel := context.WithTimeout(s.t.Context(), s.Patience)
	defer cancel()
	require.NoError(s.t, s.Sink.Check(ctx))
}

func (s *suite) delivers() {
	session := s.open()
	defer s.close(session)
	records := append(s.records(s.Topics[0], 100, 7), s.records(s.Topics[1], 100, 7)...)
	for range 20 {
		records = append(records, s.record(s.Topics[0], "", []byte("without a key")))
	}
	s.deliver(session, records)
	s.ledger.waitFor(s.t, s.Patience, records)
	require.Len(s.t, s.ledger.delivered(s.t, records), len(records))
	require.Len(s.t, s.Published(s.t, s.Topics[0]), 120)
	require.Len(s.t, s.Published(s.t, s.Topics[1]), 100)
	for _, m := range s.Published(s.t, s.Topics[0]) {
		require.False(s.t, m.Key != nil && len(m.Key) == 0, "a record without a key has arrived with an empty one")
	}
}

func (s *suite) keepsOrder() {
	session := s.open()
	defer s.close(session)
	var records []*relay.Record
	for size := range 60 { // deliveries of 0 to 59 records
		batch := s.records(s.Topics[0], size, 5)
		s.deliver(session, batch)
		records = append(records, batch...)
	}
	s.ledger.waitFor(s.t, s.Patience, records)
	s.ledger.exactlyOnce(s.t, records)
	require.Len(s.t, s.ledger.delivered(s.t, records), len(records))
	require.Len(s.t, s.Published(s.t, s.Topics[0]), len(records), "without copies")
	s.requireArrived(s.Topics[0], records)
}

func (s *suite) wire() {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	full := s.record(s.Topics[0], "schlüssel \x00 ", every)
	full.Headers = []byte(`{"b":"x","a":{"n": [1, 2]},"z":"","Ü":"ü"}`)
	named := s.record(s.Topics[0], "named", []byte("p"))
	named.Headers = []byte(`{"name":"its own"}`)
	untyped := s.record(s.Topics[0], "untyped", []byte("p"))
	untyped.Type = ""
	untyped.CreatedAt = time.Date(2024, 2, 29, 23, 59, 59, 7000, time.FixedZone("", 3600))
	null := s.record(s.Topics[0], "null", nil)
	empty := s.record(s.Topics[0], "empty", []byte{})
	records := []*relay.Record{full, named, untyped, null, empty}

	session := s.open()
	defer s.close(session)
	s.deliver(session, records)
	s.ledger.waitFor(s.t, s.Patience, records)
	require.Len(s.t, s.ledger.delivered(s.t, records), len(records))
	got := make(map[string]Message)
	for _, m := range s.Published(s.t, s.Topics[0]) {
		got[m.ID()] = m
	}
	for _, r := range records {
		m, ok := got[r.EventID.String()]
		require.True(s.t, ok, "the record with key %q has not arrived", r.Key)
		require.Equal(s.t, r.Key, m.Key)
		headers, err := r.AppendWireHeaders(nil)
		require.NoError(s.t, err)
		require.Equal(s.t, headers, m.Headers, "headers of the record with key %q", r.Key)
		if len(r.Payload) > 0 {
			require.Equal(s.t, r.Payload, m.Value)
		} else {
			require.Empty(s.t, m.Value)
		}
	}
	if s.KeepsNull {
		require.Nil(s.t, got[null.EventID.String()].Value, "a tombstone")
		require.NotNil(s.t, got[empty.EventID.String()].Value, "an empty payload")
	}
}

func (s *suite) sliceReuse() {
	session := s.open()
	defer s.close(session)
	records := s.records(s.Topics[0], 200, 3)
	slice := make([]*relay.Record, 10)
	for i := 0; i < len(records); i += len(slice) {
		copy(slice, records[i:])
		s.deliver(session, slice)
		clear(slice)
	}
	s.ledger.waitFor(s.t, s.Patience, records)
	s.ledger.exactlyOnce(s.t, records)
	s.requireArrived(s.Topics[0], records)
}

func (s *suite) turns() {
	var records []*relay.Record
	for range 3 {
		batch := s.records(s.Topics[0], 50, 3)
		records = append(records, batch...)
		s.deliverAll(batch)
	}
	s.requireArrived(s.Topics[0], records)
}

func (s *suite) badHeaders() {
	good := s.record(s.Topics[0], "k", []byte("1"))
	bad := s.record(s.Topics[0], "k", []byte("2"))
	bad.Headers = []byte(`["not", "an object"]`)
	behind := s.record(s.Topics[0], "k", []byte("3"))
	session := s.open()
	defer s.close(session)
	s.deliver(session, []*relay.Record{good})
	s.ledger.waitFor(s.t, s.Patience, []*relay.Record{good})
	s.deliver(session, []*relay.Record{bad, behind})
	s.ledger.waitFor(s.t, s.Patience, []*relay.Record{bad, behind})
	require.ErrorIs(s.t, s.ledger.answer(s.t, bad), relay.ErrRejected)
	require.Error(s.t, s.ledger.answer(s.t, behind))
	s.requireArrived(s.Topics[0], []*relay.Record{good})
}

func (s *suite) closeUnused() {
	s.close(s.open())
	require.Empty(s.t, s.ledger.answers)
}

func givenUp(err error) bool { return errors.Is(err, relay.ErrGivenUp) }

func isRejection(err error) bool { return errors.Is(err, relay.ErrRejected) }
