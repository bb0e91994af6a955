// Package relay has the relay's statements: the lease, the processes that serve a source, the events with what is
// read and deleted, the parked events, and the scheduled ones.
package relay
