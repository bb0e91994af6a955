// Package history judges deliveries: Check compares the events that writers committed with what arrived in Kafka, event
// by event, and says what was lost, invented, repeated, altered or out of order. It is the one such checker: relay
// demo, the conformance suite and rigs/chaos judge with it.
//
// It shares no code with the relay, and needs nothing but the two lists. All of it is for one goroutine at a time.
package history
