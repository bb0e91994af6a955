// Package watermillkafka sets the stock watermill-kafka publisher (v3, on sarama) up as a
// sink of the relay.
//
// Left to its defaults, that publisher acknowledges when the leader alone has a message
// (acks=1), is not idempotent, and sends no key, so events of a key spread over
// partitions. [NewPublisher] has acks=all, an idempotent producer, the event's key as the
// Kafka key with Java's murmur2 partitioning, null for a tombstone, and headers sorted by
// name; [New] puts the lanes of package relaywatermill on top.
//
// Package relaykafka is faster by an order of magnitude, and makes no duplicates in an
// outage; this one is for those who want the publisher they know. What differs:
// sarama gives up a message after a few seconds of retries, and the relay sends
// it again as a new one, so an outage can leave duplicates (in order, per key), which the
// inbox drops.
//
// It is a package of its own, because sarama and its dependencies should not be built into
// a service that uses relaywatermill with another broker.
package watermillkafka
