package relaytest

import (
	"testing"
	"time"

	"github.com/postroom/postroom/relay"
)

// Target is a sink under test, and the broker to which it publishes.
type Target struct {
	// Sink is the sink, ready for use. Required.
	Sink relay.Sink

	// Topics are two empty topics to which the sink may publish. Required.
	Topics [2]string

	// Published returns the messages of a topic on the broker. Those of each key are in the order of arrival.
	// Required.
	Published func(t testing.TB, topic string) []Message

	// Refuse makes the broker permanently reject everything for a topic, from now on. It returns a function
	// that ends this. Required.
	Refuse func(t testing.TB, topic string) (restore func())

	// Outage makes the broker accept nothing and answer nothing, from now on. It returns a function that ends
	// this. In an outage a sink may fail its records, or wait. Required.
	Outage func(t testing.TB) (restore func())

	// Rejects is true if a rejection is acknowledged with relay.ErrRejected, and not as an outage.
	Rejects bool

	// Buffer is a number of records with a payload of 1,024 bytes that is too large for the sink to accept
	// without an acknowledgement. Required.
	Buffer int

	// Patience bounds every wait. Default 20 s.
	Patience time.Duration

	// KeepsNull is true if a nil payload arrives as nil and an empty one as empty. If it is false, both
	// arrive without bytes.
	KeepsNull bool
}

// Message is a record as the broker has it.
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
