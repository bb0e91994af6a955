package relaytest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaytest"
)

// A sink's test calls Sink with a function that makes a Target. See newTarget for what a sink in memory
// declares.
func TestSinkKeepsItsPromises(t *testing.T) { relaytest.Sink(t, newTarget) }

// A sink's test is one line:
//
//	func TestSinkKeepsItsPromises(t *testing.T) { relaytest.Sink(t, newTarget) }
//
// newTarget returns the sink and functions that read and disturb its broker. This example calls them by hand.
func ExampleSink() {
	target := newTarget(nil)
	session, err := target.Sink.Open(context.Background(), func(r *relay.Record, err error) {
		fmt.Println(string(r.Payload), err)
	})
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	deliver := func(payload string) {
		r := &relay.Record{EventID: uuid.New(), Topic: target.Topics[0], Key: []byte("k"), Payload: []byte(payload)}
		session.Deliver(context.Background(), []*relay.Record{r})
	}

	deliver("first")
	restore := target.Outage(nil)
	deliver("second")
	restore()
	deliver("third") // it must not overtake the second: the relay sends both again in another session
	fmt.Println("published:", len(target.Published(nil, target.Topics[0])))
	// Output:
	// first <nil>
	// second the broker is away
	// third given up: the session ended before this record was delivered
	// published: 1
}

func newTarget(*testing.T) relaytest.Target {
	b := &broker{topics: map[string][]relaytest.Message{}, refused: map[string]bool{}}
	return relaytest.Target{
		Sink:   b,
		Topics: [2]string{"orders", "payments"},
		Published: func(_ testing.TB, topic string) []relaytest.Message {
			b.mu.Lock()
			defer b.mu.Unlock()
			return slices.Clone(b.topics[topic])
		},
		Refuse: func(_ testing.TB, topic string) (restore func()) {
			b.set(func() { b.refused[topic] = true })
			return func() { b.set(func() { b.refused[topic] = false }) }
		},
		Outage: func(testing.TB) (restore func()) {
			b.set(func() { b.away = true })
			return func() { b.set(func() { b.away = false }) }
		},
		Rejects:   true, // a rejection is acknowledged with relay.Rejected
		Buffer:    1,    // Deliver waits for each record
		KeepsNull: true,
	}
}

// broker is a relay.Sink and also the broker to which it publishes.
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

func (b *broker) Check(context.Context) error { return nil }

func (b *broker) Open(_ context.Context, ack relay.Ack) (relay.Session, error) {
	return &session{broker: b, ack: ack}, nil
}

// session is one session of the sink. After a failure it publishes nothing more.
type session struct {
	broker *broker
	ack    relay.Ack
	failed bool
}

func (s *session) Deliver(_ context.Context, records []*relay.Record) {
	for _, r := range records {
		err := s.publish(r)
		s.failed = s.failed || err != nil
		s.ack(r, err)
	}
}

func (s *session) publish(r *relay.Record) error {
	if s.failed {
		return relay.ErrGivenUp
	}
	headers, err := r.AppendWireHeaders(nil)
	if err != nil {
		return relay.Rejected(err)
	}
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	switch {
	case s.broker.away:
		return errors.New("the broker is away")
	case s.broker.refused[r.Topic]:
		return relay.Rejected(errors.New("the broker refuses the topic"))
	}
	m := relaytest.Message{Key: r.Key, Value: r.Payload, Headers: headers}
	s.broker.topics[r.Topic] = append(s.broker.topics[r.Topic], m)
	return nil
}

func (s *session) Close() {}
