// Package demo is the whole of Postroom in one process, for someone who sees it for the
// first time: a shop writes orders, the relay forwards them, billing makes invoices.
//
// What is real: the outbox, the relay with its Kafka sink, the inbox, two SQLite
// databases on disk (the shop's and billing's), and a franz-go consumer group. What is
// not: Kafka is franz-go's kfake, in process, and keeps its log in memory.
//
// On purpose, some of the shop's transactions roll back after they have written their
// order and its event, billing is handed every few messages twice, and once it goes back
// and reads again what it had read.
//
// What Run promises: at the end it judges by what it finds in the databases and in the
// topic, not by what it counted on the way, and returns ErrCheckFailed when an order is
// missing, is there twice, came out of order, or should not be there.
//
// What it needs: a directory to write to, and a port on 127.0.0.1. No server.
//
//   - demo.go: Options and Run. parts.go: puts the parts together, and ends them.
//   - shop.go, relay.go, billing.go: the three services.
//   - stats.go, view.go, plot.go: what is counted, and how it is shown.
//   - facts.go, check.go, result.go: what is found in the end, and the verdict.
package demo
