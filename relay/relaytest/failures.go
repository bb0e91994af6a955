package relaytest

import (
	"context"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/relay"
)

// gate checks a session after a record has failed. It must publish nothing behind that record, and must
// acknowledge the records that it has, before it is closed.
func (s *suite) gate() {
	fine, rejected := s.Topics[0], s.Topics[1]
	restore := s.Refuse(s.t, rejected)
	session := s.open()
	var records []*relay.Record
	for range 40 { // both topics, the same keys, many deliveries
		batch := append(s.records(fine, 5, 5), s.records(rejected, 5, 5)...)
		records = append(records, batch...)
		s.deliver(session, batch)
	}
	s.ledger.waitFor(s.t, s.Patience, records)
	restore()
	// The broker would accept everything now, so only the gate holds these records back.
	late := append(s.records(fine, 5, 5), s.records(rejected, 5, 5)...)
	s.deliver(session, late)
	s.ledger.waitFor(s.t, s.Patience, late)
	s.close(session)
	s.ledger.exactlyOnce(s.t, append(append([]*relay.Record{}, records...), late...))

	rejections := 0
	for _, r := range append(records, late...) {
		err := s.ledger.answer(s.t, r)
		if r.Topic == rejected {
			require.Error(s.t, err)
			if isRejection(err) {
				rejections++
			}
		}
	}
	if s.Rejects {
		require.Positive(s.t, rejections, "no record of the rejected topic was acknowledged as a rejection")
	}
	for _, r := range late {
		require.Error(s.t, s.ledger.answer(s.t, r), "a record delivered after the failure")
	}
	require.Empty(s.t, s.Published(s.t, rejected))
	s.requirePrefixes(fine, records)

	var again []*relay.Record
	for _, r := range append(records, late...) {
		if s.ledger.answer(s.t, r) != nil {
			again = append(again, r)
		}
	}
	s.deliverAll(again)
	s.requireArrived(fine, append(records, late...))
	s.requireArrived(rejected, append(records, late...))
}

// requirePrefixes checks the records of each key that arrived. They must be the first ones that were
// delivered, and include all that were acknowledged as delivered.
func (s *suite) requirePrefixes(topic string, records []*relay.Record) {
	s.t.Helper()
	given, delivered := make(map[string][]string), make(map[string]int)
	for _, r := range records {
		if r.Topic != topic {
			continue
		}
		given[string(r.Key)] = append(given[string(r.Key)], r.EventID.String())
		if s.ledger.answer(s.t, r) == nil {
			delivered[string(r.Key)]++
		}
	}
	arrived := byKey(s.Published(s.t, topic))
	for key, ids := range arrived {
		require.LessOrEqual(s.t, len(ids), len(given[key]))
		require.Equal(s.t, given[key][:len(ids)], ids, "what arrived of key %q is not what was given first", key)
	}
	for key, n := range delivered {
		require.GreaterOrEqual(s.t, len(arrived[key]), n, "key %q has fewer records than were acknowledged", key)
	}
}

func (s *suite) outage() {
	before := s.records(s.Topics[0], 50, 5)
	s.deliverAll(before)
	restore := s.Outage(s.t)
	session := s.open()
	during := s.records(s.Topics[0], 50, 5)
	s.deliver(session, during)
	restore()
	s.ledger.waitFor(s.t, s.Patience, during)
	s.close(session)
	s.ledger.exactlyOnce(s.t, during)
	var again []*relay.Record
	for _, r := range during {
		err := s.ledger.answer(s.t, r)
		require.False(s.t, isRejection(err), "an outage must not be acknowledged as a rejection: %v", err)
		if err != nil {
			again = append(again, r)
		}
	}
	after := s.records(s.Topics[0], 50, 5)
	s.deliverAll(append(again, after...))
	s.requireArrived(s.Topics[0], append(append(before, during...), after...))
}

func (s *suite) closeInOutage() {
	restore := s.Outage(s.t)
	session := s.open()
	records := s.records(s.Topics[0], 50, 5)
	s.deliver(session, records)
	s.close(session)
	s.ledger.exactlyOnce(s.t, records)
	for _, r := range records {
		err := s.ledger.answer(s.t, r)
		require.Error(s.t, err)
		require.False(s.t, isRejection(err), "giving up must not be acknowledged as a rejection: %v", err)
	}
	held := s.Published(s.t, s.Topics[0])
	restore()
	// The broker works again. A record of the next session arrives. If the closed session were still sending
	// records, they would arrive with it.
	marker := s.record(s.Topics[0], "key-0", []byte("marker"))
	s.deliverAll([]*relay.Record{marker})
	require.Len(s.t, s.Published(s.t, s.Topics[0]), len(held)+1)
}

// tooMany returns more records than the sink buffers.
func (s *suite) tooMany() []*relay.Record {
	payload := make([]byte, 1024)
	records := make([]*relay.Record, s.Buffer+1)
	for i := range records {
		records[i] = s.record(s.Topics[0], fmt.Sprintf("key-%d", i%50), payload)
	}
	return records
}

func (s *suite) closeDuringDeliver() {
	restore := s.Outage(s.t)
	defer restore()
	records := s.tooMany()
	session := s.open()
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		session.Deliver(s.t.Context(), records)
	}()
	s.close(session)
	s.within("Deliver", func() { <-returned })
	s.ledger.exactlyOnce(s.t, records)
	require.True(s.t, givenUp(s.ledger.answer(s.t, records[len(records)-1])), "the last record was not given up")
}

func (s *suite) deliverHonoursContext() {
	restore := s.Outage(s.t)
	defer restore()
	records := s.tooMany()
	session := s.open()
	ctx, cancel := context.WithTimeout(s.t.Context(), 100*time.Millisecond)
	defer cancel()
	s.within("Deliver", func() { session.Deliver(ctx, records) })
	last := s.ledger.answer(s.t, records[len(records)-1])
	if !givenUp(last) { // the sink may have failed earlier records by itself
		require.ErrorIs(s.t, last, context.DeadlineExceeded)
	}
	more := s.records(s.Topics[0], 1, 1)
	s.deliver(session, more)
	require.Error(s.t, s.ledger.answer(s.t, more[0]), "a record of a key whose earlier ones were not taken")
	s.close(session)
	s.ledger.exactlyOnce(s.t, append(records, more...))
}
