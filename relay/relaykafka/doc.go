// Package relaykafka publishes outbox records to Apache Kafka with franz-go.
//
// What it promises, on top of what every [relay.Sink] does:
//
//   - A record is acknowledged when all in-sync replicas have it.
//   - Within a session no record is duplicated or reordered, whatever happens to
//     the network and the brokers: the producer is idempotent, keeps its records
//     through an outage of any length, and retries without a limit, so that
//     the brokers recognise a record they have already. Records are given
//     up only when the session is closed, or when Kafka has refused one.
//   - When Kafka refuses a record, what was sent by then is resolved (each record
//     gets its true answer), and nothing later leaves the process. So a refusal
//     makes neither duplicates nor a new order.
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
//   - When OpenTransactional has returned, nothing that an earlier session of the source
//     has produced can still be committed, and Sent names every row of every transaction
//     that was, since the position.
//   - A record is acknowledged when the transaction with it and with its manifest is
//     committed. A transaction is committed only if each of its records was taken,
//     from the producer that commits it.
//   - A failure, or a commit whose outcome is not known, ends the session.
//
// Read tx_open.go, tx_session.go (what is in a transaction), tx_commit.go (how it ends),
// manifest_read.go, in this order. The topics, the rights and the costs are in
// docs/kafka.md.
//
// # How a session fails
//
// Each Open makes a client, and with it a new idempotent producer. The client fails
// whole batches: one record that the broker refuses takes those with it that
// were sent in its batch, and those queued behind it for the partition. The session
// then closes its gate: it asks the client to drop all that it never sent (kgo
// cancels a record through its context, when that is safe) and waits for the answers
// to what it did send. See gate.go for the race that makes this more than a flag.
package relaykafka
