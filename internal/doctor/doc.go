// Package doctor finds what is wrong with an outbox, its relays and its topics, or with an inbox, and says what to do.
//
// It promises:
//
//   - It changes nothing, takes no lock that a writer or a relay would notice, and works through a pooler such as
//     pgbouncer.
//   - It ends in a bounded time: each query has a timeout, and after some timeouts the other queries are skipped.
//   - What it cannot check, because of a missing right or answer, is a finding of its own. All other checks still
//     run: it checks the database when the sink is away, and the other way round.
//   - Each finding has a stable id, which docs/operations.md lists, and ends with a command or a statement. No finding
//     contains a payload or a password.
//
// It works in two steps. [Examine] asks the database (through internal/doctor/facts, which has the SQL) and the sink
// (through the interface [Kafka]), and puts the answers into [Facts]. The checks are functions of the facts alone, in
// a file for each subject.
package doctor
