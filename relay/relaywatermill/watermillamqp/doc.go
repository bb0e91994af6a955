// Package watermillamqp is a sink of the relay for RabbitMQ and other AMQP 0.9.1 brokers. It
// publishes messages that stock watermill-amqp subscribers read.
//
// It promises that an event counts as delivered only after the broker has confirmed it and has not returned
// it. Messages are persistent and mandatory, so an event that no queue accepts is a rejection, and not a
// loss. Events of one topic and key are published in order, each after the confirm of the previous one. An
// outage does not count as an attempt of an event. There is an outage when the connection is lost, or when
// the broker blocks publishers, sends a nack, or does not answer within Config.ConfirmTimeout.
//
// It needs exchanges with durable queues. It declares nothing, because only the consumers know the type of an
// exchange and which queues to bind. On a cluster use quorum queues: a classic queue whose node is down
// accepts no message, and the broker returns the event.
//
// On the wire:
//
//   - The topic is the name of the exchange, and the key is the routing key; without a key it is
//     empty. Both have at most 255 bytes. A longer one is a rejection without being sent.
//   - The headers are those of watermill-amqp's DefaultMarshaler: the event id as
//     _watermill_message_uuid, and the event's metadata. The property message-id is the event id.
//   - A tombstone has an empty body.
//
// It does not use watermill-amqp's own publisher, for these reasons. That publisher opens or borrows a
// channel for each message, and waits for one confirm at a time on it. It reads no returns, so a mandatory
// message that no queue accepts counts as published. Its wait for a confirm has no time limit and ignores the
// context. A missing exchange closes a channel without saying which message was at fault.
package watermillamqp
