// Package doctor finds what is wrong with an outbox, its relays and its topics, and says
// what to type.
//
// It promises:
//
//   - to change nothing, to take no lock that a writer or a relay would notice, and to
//     work through a pooler such as pgbouncer;
//   - to be done in a bounded time: each question has a limit, and after some that were
//     not answered the rest is not asked;
//   - that what cannot be looked at, for want of a right or an answer, is a finding of
//     its own and keeps nothing else from being looked at: the database is examined
//     when the sink is away, and the other way round;
//   - that every finding has an id that stays, listed in docs/operations.md, and ends
//     with a command or a statement; none holds a payload or a password.
//
// It works in two steps. [Examine] asks the database (through internal/dialect, which
// has the SQL) and the sink (through the interface [Kafka]) and puts the answers into
// [Facts]. The checks, one file a subject, are functions of the facts alone.
package doctor
