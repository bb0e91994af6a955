package relaywatermill_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaytest"
	"github.com/postroom/postroom/relay/relaywatermill"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errRefused = errors.New("the broker refuses the message")
	errAway    = errors.New("the broker is away")
)

// fakePublisher is a publisher whose broker is a map.
type fakePublisher struct {
	// before, if set, runs in each Publish. Publish returns its error.
	before func(topic string, msg *message.Message) error
	// blind publishers ignore the message's context.
	blind   bool
	entered chan struct{} // not nil: signals that Publish waits for an outage to end

	mu      sync.Mutex
	topics  map[string][]relaytest.Message
	refused map[string]bool
	away    chan struct{} // not nil: Publish waits for it, then fails
}

func newFake() *fakePublisher {
	return &fakePublisher{topics: make(map[string][]relaytest.Message), refused: make(map[string]bool)}
}

func (f *fakePublisher) Close() error { return nil }

func (f *fakePublisher) Publish(topic string, messages ...*message.Message) error {
	for _, msg := range messages {
		if err := f.publish(topic, msg); err != nil {
			return err
		}
	}
	return nil
}

func (f *fakePublisher) publish(topic string, msg *message.Message) error {
	f.mu.Lock()
	away, refused := f.away, f.refused[topic]
	f.mu.Unlock()
	if refused {
		return errRefused
	}
	if away != nil {
		if f.entered != nil {
			f.entered <- struct{}{}
		}
		if f.blind {
			<-away
			return errAway
		}
		select {
		case <-away:
			return errAway
		case <-msg.Context().Done():
			return msg.Context().Err()
		}
	}
	if f.before != nil {
		if err := f.before(topic, msg); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.topics[topic] = append(f.topics[topic], toMessage(msg))
	return nil
}

func toMessage(msg *message.Message) relaytest.Message {
	m := relaytest.Message{
		Value: msg.Payload, Headers: []relay.Header{{Name: relay.HeaderMessageUUID, Value: msg.UUID}},
	}
	m.Key, _ = relaywatermill.KeyFromContext(msg.Context())
	for name, value := range msg.Metadata {
		m.Headers = append(m.Headers, relay.Header{Name: name, Value: value})
	}
	slices.SortFunc(m.Headers, func(a, b relay.Header) int { return strings.Compare(a.Name, b.Name) })
	return m
}

func (f *fakePublisher) published(_ testing.TB, topic string) []relaytest.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.topics[topic])
}

func (f *fakePublisher) refuse(_ testing.TB, topic string) (restore func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused[topic] = true
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.refused, topic)
	}
}

func (f *fakePublisher) outage(testing.TB) (restore func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	away := make(chan struct{})
	f.away = away
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.away = nil
		close(away)
	}
}

func rejected(_ string, err error) bool { return errors.Is(err, errRefused) }

// collect returns an Ack that sends the answers to a channel.
func collect(size int) (relay.Ack, <-chan answer) {
	answers := make(chan answer, size)
	return func(r *relay.Record, err error) { answers <- answer{r, err} }, answers
}

type answer struct {
	record *relay.Record
	err    error
}
