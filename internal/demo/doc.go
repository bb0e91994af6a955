// Package demo is the whole of Postroom in one process, for a first look: a shop writes orders, the relay
// forwards them, and billing makes invoices.
//
// These parts are real: the outbox, the relay with its Kafka sink, the inbox, two SQLite databases on disk
// (the shop's and billing's), and a franz-go consumer group. Only Kafka is not: it is franz-go's kfake, in
// process, and keeps its log in memory.
//
// The demo makes trouble on purpose. Some of the shop's transactions roll back after they have written their
// order and its event. Billing gets some messages twice. Once it goes back and reads messages again.
//
// Run promises a check at the end that looks into the databases and the topic, and does not use what was
// counted on the way. It returns ErrCheckFailed if an order is missing, is there twice, arrived out of order,
// or should not be there.
//
// It needs a directory to write to, and a port on 127.0.0.1. It needs no server.
//
//   - demo.go: Options and Run. parts.go: starts and stops the parts.
//   - shop.go, relay.go, billing.go: the three services.
//   - stats.go, view.go, plot.go: what is counted, and how it is shown.
//   - facts.go, check.go, result.go: what is found at the end, and the result of the check.
package demo
