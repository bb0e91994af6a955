// Package inboxkafka runs a handler over Kafka topics as a member of a consumer group,
// so that each message takes effect in the consumer's database exactly once. It is
// franz-go around package inbox.
//
// What it promises:
//
//   - An offset is committed only after the database has committed everything below it.
//     A crash anywhere delivers messages again, which the inbox knows, and skips none.
//   - A partition that the group takes away is finished or rolled back before it is given
//     up. A partition that was lost is cancelled at once, and its offsets are not committed.
//   - Messages of one partition are handled in order; with KeyConcurrency those of one key.
//   - Records of aborted Kafka transactions are never seen (read_committed).
//   - A message that has no id or cannot be decoded is parked, or stops Run; it is never
//     skipped in silence. Nor are records that retention deleted before they were read,
//     unless Config.ResetOffset says so.
//   - Memory is bounded: a partition whose buffer is full is paused, and the others flow.
//
// What it needs: the inbox tables beside the handler's own (`relay migrate up`), and ids
// that are unique over all producers (see package inbox).
//
// The modes (Mode) differ in what one transaction of the database covers, and in where the
// position lives. Batch fits most; docs/consuming.md has a table that helps to choose.
//
// # For those who change this package
//
// A record takes these steps; each has a file of its own. Open them in this order:
//
//   - fetch: member.go joins the group, polls, and gives records to their partitions; fetch_errors.go judges what
//     went wrong.
//   - queue: partition.go keeps the records of a partition in lanes, and pauses its fetches when they are full.
//     budget.go bounds the memory of all partitions together, with fetch_memory.go, which measures fetches.
//   - transaction: transaction.go takes a batch from a lane to the database. message.go makes messages of
//     records, with the formats of decode.go and cloudevents.go; control_records.go passes over what is no message.
//     breaker.go pauses a topic whose handler fails for nearly every message, and handler_misuse.go finds handlers
//     that do what they must not.
//   - offset: low_watermark.go knows below which offset all is done, and commit.go tells Kafka;
//     commit_database.go notes it in the database before, and offset_metadata.go beside the offset.
//
// Around a rebalance: assignment.go takes partitions and gives them up. start_position.go decides where each is read
// on, with start_database.go (what the database remembers), start_without_offset.go (the group has no offset) and
// topic_id.go (a topic that was deleted and made again).
//
// Beside all of it background.go retries parked messages, prunes, and warns about brokers and topics that are not
// there. consumer.go and config.go are the public side.
package inboxkafka
