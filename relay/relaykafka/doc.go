// Package relaykafka publishes outbox records to Apache Kafka with franz-go.
//
// What it promises, on top of what every [relay.Sink] does:
//
//   - A record is acknowledged when all in-sync replicas have it.
//   - Within a session no record is duplicated or reordered, whatever happens to
//     the network and the brokers. The producer is idempotent, keeps its records
//     through an outage of any length, and retries without a limit. So the brokers
//     recognise a record that they already have. The session gives records up only
//     when it is closed, or when Kafka has rejected one.
//   - When Kafka rejects a record, each record that was already sent still gets its
//     true answer, and no later record leaves the process. So a rejection causes
//     neither duplicates nor a different order.
//   - A key goes to the partition where the Java client puts it (murmur2); records
//     without a key stick to a partition for one batch.
//   - The wire is that of watermill-kafka's DefaultMarshaler, with the headers
//     sorted by name.
//
// What it needs: Kafka 2.1 or newer with the topics in place, or Config.CreateTopics.
// The user needs Write and Describe on the topics; for CreateTopics also Create.
// For 'never lost', topics need at least two in-sync replicas.
//
// [NewPublisher] offers the same producer as a Watermill message.Publisher, for
// services that publish without an outbox.
//
// # Exactly once
//
// Sink is a [relay.Transactional] too, with Kafka 2.5 or newer. What it promises there:
//
//   - When OpenTransactional has returned, no earlier session of the source can commit
//     anything any more. Sent names every row of every transaction that was committed
//     since the position.
//   - A record is acknowledged when the transaction that has the record and its manifest
//     is committed. A transaction is committed only if the broker took each of its
//     records from the producer that commits it.
//   - A failure, or a commit whose outcome is not known, ends the session.
//
// Read tx_open.go, tx_session.go (what is in a transaction), tx_commit.go (how it ends),
// manifest_read.go, in this order. The topics, the rights and the costs are in
// docs/kafka.md.
//
// # How a session fails
//
// Each Open makes a client, and with it a new idempotent producer. The client fails
// whole batches: when the broker rejects one record, the other records of its batch fail
// too, and so do those that are queued behind it for the partition. The session then
// closes its gate. It asks the client to drop the records that were never sent (kgo
// cancels a record through its context, when that is safe), and waits for the answers to
// those that were sent. A flag alone is not enough: see the race in gate.go.
package relaykafka
