package relaytest

import (
	"testing"
	"time"

	"github.com/postroom/postroom/relay"
)

// Target is a sink under test, and the far side it publishes to.
type Target struct {
	// Sink is the sink, ready for use. Required.
	Sink relay.Sink

	// Topics are two topics, empty at first, that the sink may publish to. Required.
	Topics [2]string

	// Published returns what the far side holds of a topic, for each key in the order
	// of arrival. Required.
	Published func(t testing.TB, topic string) []Message

	// Refuse makes the far side refuse, from now on, what it is sent for a topic, as
	// something it will never take, and returns a function that ends this. Required.
	Refuse func(t testing.TB, topic string) (restore func())

	// Outage makes the far side take nothing and answer nothing, from now on, and
	// returns a function that ends this. A sink may fail what it is given meanwhile,
	// or wait. Required.
	Outage func(t testing.TB) (restore func())

	// Rejects tells that a refusal is acknowledged with relay.ErrRejected, not as an outage.
	Rejects bool

	// Buffer is a number of records with a payload of 1,024 bytes that the sink
	// does not take without an acknowledgement. Required.
	Buffer int

	// Patience bounds every wait. Default 20 s.
	Patience time.Duration

	// KeepsNull tells that a nil payload arrives as nil and an empty one as empty. Where
	// it is false, both arrive without bytes.
	KeepsNull bool
}

// Message is what the far side holds of a record.
type Message struct {
	Key     []byte // nil: none
	Value   []byte
	Headers []relay.Header // in their order on the wire
}

// ID returns the event id among the headers.
func (m Message) ID() string {
	for _, h := range m.Headers {
		if h.Name == relay.HeaderMessageUUID {
			return h.Value
		}
	}
	return ""
}
