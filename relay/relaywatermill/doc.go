// Package relaywatermill publishes outbox records through any Watermill
// message.Publisher: AMQP, NATS, Google Pub/Sub, an in-process channel, …
//
// What it promises, on top of what every [relay.Sink] does: records of a topic and key
// are published in order, one after the other, whatever the publisher; records of
// different keys in parallel, so that a publisher which waits for its broker at
// each message still gets many messages under way. What 'published' means is the
// publisher's to say: a record is acknowledged when Publish returns nil. A publisher that
// returns before the broker has the message for good loses events in a crash, and
// no sink can mend that: have it confirm.
//
// What it needs: a publisher that is safe for concurrent use, as Watermill asks for.
//
// A message carries the event id as its UUID, the payload (nil for a tombstone), and the
// headers of the wire format as metadata. The key is in the message's context
// ([KeyFromContext]) for publishers and marshalers that can use it and, if
// Options.KeyMetadata is set, in the metadata.
//
// For Kafka there are two ways. Package relaykafka is the fast one, and the one that makes
// no duplicates. Package watermillkafka beside this one sets watermill-kafka up for
// the relay; it is a package of its own because it imports sarama, which a service that
// publishes to AMQP should not have to build. For RabbitMQ, package watermillamqp has a
// publisher that confirms.
package relaywatermill
