// Package relaytest is the conformance suite for implementations of [relay.Sink].
//
// A sink's own tests call [Sink] with a function that makes a [Target]. A Target is the sink with the broker
// to which it publishes, and with functions that read that broker and disturb it. Each promise of relay.Sink
// and relay.Session is a subtest with the promise's name. The suite also tests what a Target declares by
// setting a function: that it can reject a topic, or that it can fail.
//
//	func TestSinkKeepsItsPromises(t *testing.T) {
//		relaytest.Sink(t, func(t *testing.T) relaytest.Target { … })
//	}
//
// The suite needs no server of its own, and leaves no goroutine behind. It imports testing and testify, so
// only tests should import it.
package relaytest
