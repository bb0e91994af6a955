package relays

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
	"github.com/postroom/postroom/relay/relaytest"
)

// With all faults the sink still keeps each promise of relay.Sink: what it changes is what a relay may do, too.
func TestASinkWithFaultsKeepsTheRelaysPromises(t *testing.T) {
	for name, faults := range map[string]*Faults{
		"none": nil, "duplicate": on(true, false), "reorder": on(false, true), "both": on(true, true),
	} {
		t.Run(name, func(t *testing.T) {
			relaytest.Sink(t, func(*testing.T) relaytest.Target {
				b := &broker{topics: map[string][]relaytest.Message{}, refused: map[string]bool{}}
				return relaytest.Target{
					Sink: withFaults(b, faults, nil), Topics: [2]string{"orders", "payments"},
					Published: func(_ testing.TB, topic string) []relaytest.Message {
						return firstCopies(b.published(topic))
					},
					Refuse: func(_ testing.TB, topic string) func() {
						b.set(func() { b.refused[topic] = true })
						return func() { b.set(func() { delete(b.refused, topic) }) }
					},
					Outage: func(testing.TB) func() {
						b.set(func() { b.away = true })
						return func() { b.set(func() { b.away = false }) }
					},
					Rejects: true, Buffer: 1, KeepsNull: true,
				}
			})
		})
	}
}

func on(duplicate, reorder bool) *Faults {
	var f Faults
	f.Duplicate.Store(duplicate)
	f.Reorder.Store(reorder)
	return &f
}

func TestEachEventComesTwiceAndOnlyKeysChangePlaces(t *testing.T) {
	b := &broker{topics: map[string][]relaytest.Message{}}
	faults := on(true, true)
	delivered := 0
	session, err := withFaults(b, faults, nil).Open(t.Context(), func(_ *relay.Record, err error) {
		require.NoError(t, err)
		delivered++
	})
	require.NoError(t, err)
	var records []*relay.Record
	want := map[string][]string{}
	for n := range 100 {
		key := fmt.Sprint("key-", n%10)
		r := &relay.Record{EventID: uuid.New(), Topic: "orders", Key: []byte(key), Payload: []byte("{}")}
		records, want[key] = append(records, r), append(want[key], r.EventID.String())
	}
	session.Deliver(t.Context(), records)
	require.Equal(t, 100, delivered, "a copy is acknowledged")
	require.Len(t, b.published("orders"), 200)
	first := firstCopies(b.published("orders"))
	got, moved := map[string][]string{}, 0
	for i, m := range first {
		got[string(m.Key)] = append(got[string(m.Key)], m.ID())
		if m.ID() != records[i].EventID.String() {
			moved++
		}
	}
	require.Equal(t, want, got, "a key is out of order")
	require.Positive(t, moved)

	faults.Duplicate.Store(false)
	session.Deliver(t.Context(), records)
	require.Len(t, b.published("orders"), 300, "the switch has no effect on an open session")
}

// Without these the relay would take a topic for one lane, and one partition without a leader would delay all others.
func TestASessionOfKafkaShowsItsLanes(t *testing.T) {
	kafka := kittest.Kafka(t)
	sink, err := relaykafka.New(relaykafka.Config{Brokers: kafka.Brokers, Logger: kittest.Quiet()})
	require.NoError(t, err)
	session, err := withFaults(sink, nil, nil).Open(t.Context(), func(_ *relay.Record, err error) {
		require.NoError(t, err)
	})
	require.NoError(t, err)
	defer session.Close()
	require.Implements(t, (*relay.Lanes)(nil), session)
	require.Implements(t, (*relay.Revalidator)(nil), session)
	require.Implements(t, (*relay.OutageReporter)(nil), session)
	session.Deliver(t.Context(), []*relay.Record{{
		EventID: uuid.New(), Topic: kafka.Topic(events.Orders), Key: []byte("o"), Payload: []byte("{}"),
	}})
	kittest.Events(t, kafka, events.Orders, 1)
}

// firstCopies leaves out what came before.
func firstCopies(messages []relaytest.Message) (first []relaytest.Message) {
	seen := map[string]bool{}
	for _, m := range messages {
		if !seen[m.ID()] {
			seen[m.ID()] = true
			first = append(first, m)
		}
	}
	return first
}

// broker is a sink in memory. It acknowledges a record while it is delivered.
type broker struct {
	mu      sync.Mutex
	topics  map[string][]relaytest.Message
	refused map[string]bool
	away    bool
}

func (b *broker) set(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

func (b *broker) published(topic string) []relaytest.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]relaytest.Message{}, b.topics[topic]...)
}

func (b *broker) Check(context.Context) error { return nil }

func (b *broker) Open(_ context.Context, ack relay.Ack) (relay.Session, error) {
	return &memorySession{broker: b, ack: ack}, nil
}

type memorySession struct {
	broker *broker
	ack    relay.Ack
	failed bool
}

func (s *memorySession) Deliver(_ context.Context, records []*relay.Record) {
	for _, r := range records {
		err := s.publish(r)
		s.failed = s.failed || err != nil
		s.ack(r, err)
	}
}

func (s *memorySession) publish(r *relay.Record) error {
	headers, err := r.AppendWireHeaders(nil)
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	switch {
	case s.failed:
		return relay.ErrGivenUp
	case err != nil:
		return relay.Rejected(err)
	case s.broker.away:
		// With Reorder the first record to fail may be the last one of the delivery, which the suite expects given up.
		return fmt.Errorf("the broker is away: %w", relay.ErrGivenUp)
	case s.broker.refused[r.Topic]:
		return relay.Rejected(errors.New("the broker rejects the topic"))
	}
	m := relaytest.Message{Key: r.Key, Value: r.Payload, Headers: headers}
	s.broker.topics[r.Topic] = append(s.broker.topics[r.Topic], m)
	return nil
}

func (s *memorySession) Close() {}
