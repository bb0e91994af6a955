// Package chaos proves the relay's promise on real servers, from outside. It runs the
// built command against a PostgreSQL or MariaDB and a Kafka of its own while writers
// commit, roll back and dawdle, relays are killed and stopped for longer than their
// lease, database connections are cut, tables and rows are locked, events are written that
// the broker refuses, the broker is restarted, and the owner's way to Kafka is cut while the
// others' stay; then it waits until the outbox is empty, reads Kafka back, and says event by
// event what was lost, invented, repeated or out of order.
//
// A seed fixes the times and kinds of trouble and every decision of the writers. Which
// process owns the lease when trouble comes is up to the machine: a seed repeats the load
// and the blows, not the interleaving.
//
// Package history, which judges, shares no code with the relay. The writers use package outbox, as
// a service does.
//
// RunBank proves package inbox's promise in the same way: consumer processes move money
// between the accounts of a bank, as messages of a topic tell them to, and in the end
// CheckBank says transfer by transfer what was lost or applied twice.
//
// Run and RunBank are for Unix: they need SIGSTOP, and servers started by dev/services.
package chaos
