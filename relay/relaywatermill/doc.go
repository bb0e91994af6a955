// Package relaywatermill publishes outbox records through any Watermill
// message.Publisher: AMQP, NATS, Google Pub/Sub, an in-process channel, …
//
// It promises this, in addition to what every [relay.Sink] does. Records of a topic and key are published in
// order, one after another, with any publisher. Records of different keys are published in parallel, so that
// many messages are in progress even with a publisher that waits for its broker at each message. The
// publisher decides what 'published' means: a record is acknowledged when Publish returns nil. If a publisher
// returns before the broker has stored the message, a crash loses events, and no sink can prevent that.
// Configure the publisher to wait for the broker's confirmation.
//
// It needs a publisher that is safe for concurrent use, which Watermill also requires.
//
// A message carries the event id as its UUID, the payload (nil for a tombstone), and the
// headers of the wire format as metadata. The key is in the message's context
// ([KeyFromContext]) for publishers and marshalers that can use it and, if
// Options.KeyMetadata is set, in the metadata.
//
// For Kafka there are two sinks. Package relaykafka is faster, and makes no duplicates in an outage. Package
// watermillkafka in this directory configures watermill-kafka for the relay. It is a separate package because
// it imports sarama, which a service that publishes to AMQP should not have to build. For RabbitMQ, package
// watermillamqp has a publisher with confirms.
package relaywatermill
