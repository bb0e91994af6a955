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
package inboxkafka
