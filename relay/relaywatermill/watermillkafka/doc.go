// Package watermillkafka configures the stock watermill-kafka publisher (v3, on sarama) as a sink of the
// relay.
//
// With its defaults, that publisher acknowledges when only the leader has a message (acks=1), is not
// idempotent, and sends no key, so that events of a key go to different partitions. [NewPublisher] uses
// acks=all, an idempotent producer, the event's key as the Kafka key with Java's murmur2 partitioning, null
// for a tombstone, and headers sorted by name. [New] adds the lanes of package relaywatermill.
//
// Package relaykafka is faster by an order of magnitude, and makes no duplicates in an outage. This package
// is for those who want the publisher that they know. The difference in an outage: sarama gives up a message
// after a few seconds of retries, and the relay sends it again as a new message. So an outage can leave
// duplicates (in order, per key), which the inbox drops.
//
// It is a separate package, so that sarama and its dependencies are not built into a service that uses
// relaywatermill with another broker.
package watermillkafka
