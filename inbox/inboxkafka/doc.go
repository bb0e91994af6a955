// Package inboxkafka runs a handler for the messages of Kafka topics, as a member of a consumer group. Each message
// takes effect in the consumer's database exactly once. It uses franz-go and package inbox.
//
// What it promises:
//
//   - An offset is committed only after the database has committed everything below it. After a crash messages may come
//     again, which the inbox recognises, but none is skipped.
//   - When the group takes a partition away, its transaction is finished or rolled back first. When a partition is
//     lost, its handlers are cancelled at once, and its offsets are not committed.
//   - Messages of a partition are handled in order; with KeyConcurrency, messages of a key.
//   - Handlers never get records of aborted Kafka transactions (read_committed).
//   - A message without an id, or one that cannot be decoded, is parked or ends Run. It is never skipped. Run also ends
//     with an error if retention has deleted unread records, unless Config.ResetOffset is set.
//   - Memory is limited: a partition whose buffer is full is paused, and the other partitions continue.
//
// It needs the inbox tables in the database of the handler's tables (`relay migrate up --only inbox`), and message ids
// that are unique over all producers (see package inbox).
//
// The modes (Mode) differ in what one database transaction covers, and in where the position is kept. Batch is right
// for most consumers. docs/consuming.md has a table that helps to choose.
//
// # For those who change this package
//
// A record takes these steps. Open the files in this order:
//
//   - fetch: member.go joins the group, polls, and gives records to their partitions; fetch_errors.go handles the
//     errors of fetches.
//   - queue: partition.go keeps the records of a partition in lanes, and pauses its fetches when they are full.
//     budget.go limits the memory of all partitions together, with fetch_memory.go, which measures fetches.
//   - transaction: transaction.go takes a batch from a lane to the database. message.go converts
//     records into messages, with the formats of decode.go and cloudevents.go; control_records.go skips records that
//     are no messages. breaker.go pauses a topic if its handler fails for nearly every message, and handler_misuse.go
//     finds handlers that break the rules.
//   - offset: low_watermark.go knows the offset below which all messages are handled. commit_database.go writes it to
//     the database first, then commit.go commits it to Kafka, with the metadata of offset_metadata.go.
//
// In a rebalance, assignment.go takes partitions and gives them up. start_position.go decides where to read each
// partition, with start_database.go (what the database has), start_without_offset.go (the group has no offset) and
// topic_id.go (a topic that was deleted and created again).
//
// In the background, background.go retries parked messages, prunes, and warns about missing brokers and topics.
// consumer.go and config.go have the public API.
package inboxkafka
