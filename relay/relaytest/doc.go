// Package relaytest is the conformance suite for implementations of [relay.Sink].
//
// A sink's own tests call [Sink] with a function that makes a [Target]: the sink, and a
// way to look at and to disturb what it publishes to. Each promise that relay.Sink
// and relay.Session state is a subtest named after it. What a Target declares (that it
// can refuse a topic, that it can go away) is tested; a Target declares it by setting the
// function.
//
//	func TestSinkKeepsItsPromises(t *testing.T) {
//		relaytest.Sink(t, func(t *testing.T) relaytest.Target { … })
//	}
//
// The suite needs no server of its own, and starts no goroutine that outlives it. It imports
// testing and testify, so only tests should import it.
package relaytest
