// Package chaos tests the relay's promise on real servers, from outside. It runs the built command against a
// PostgreSQL or MariaDB and a Kafka of its own, and makes trouble: writers commit, roll back and keep
// transactions open; relays are killed, and paused for longer than their lease; database connections are cut;
// tables and rows are locked; events are written that the broker rejects; the broker is restarted; and the
// owner's connection to Kafka is cut while the other relays keep theirs. Then it waits until the outbox is
// empty, reads Kafka back, and reports event by event what was lost, invented, repeated or out of order.
//
// A seed fixes the times and kinds of trouble and every decision of the writers. It does not fix the
// interleaving: the machine decides which process owns the lease when trouble comes.
//
// Package history, which checks the result, shares no code with the relay. The writers use package outbox, as
// a service does.
//
// RunBank tests package inbox's promise in the same way. Consumer processes move money between the accounts
// of a bank, as the messages of a topic say. At the end CheckBank reports transfer by transfer what was lost
// or applied twice.
//
// Run and RunBank need Unix, because they use SIGSTOP and servers that dev/services starts.
package chaos
