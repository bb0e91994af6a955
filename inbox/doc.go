// Package inbox applies the effect of a message to a consumer's database exactly once, although the message may be
// delivered many times.
//
// What it promises: of all deliveries of one message id to one consumer, exactly one commits its handler's writes, as
// long as the row of the id is kept (see Prune). The transaction inserts this row before it runs the handler, so the
// row and the handler's writes commit together or not at all. A second delivery at the same time waits at its insert
// until the first one has committed or rolled back.
//
// What it does not promise: exactly-once for what a handler does outside the database. Calls of other services, and
// messages published directly, happen again when the handler runs again. Write them to an outbox in the same
// transaction.
//
// What it needs:
//
//   - The inbox tables, in the database that the handler writes to (package migrations, or
//     `relay migrate up --only inbox`), and the rights on them that docs/tables.md lists.
//   - Message ids that are unique across all services that produce the messages. UUIDs are unique; Postroom and
//     Watermill use them. Row ids of a database are not unique: two services both have a message "1", and the inbox
//     would drop the second one as a duplicate. CloudEvents ids are unique only within one source: use
//     source + " " + id.
//
// This is the main call:
//
//	ib, err := inbox.New(inbox.PostgreSQL, "billing")
//	…
//	outcome, err := ib.Process(ctx, db, inbox.Message{ID: id}, func(ctx context.Context, tx *sql.Tx) error {
//		_, err := tx.ExecContext(ctx, "UPDATE accounts SET …")
//		return err
//	})
//
// A message that fails for good is parked in inbox_parked, if it has a Topic. Then the later messages of its key are
// parked behind it (WithOnFailure changes this). Operators list, retry and drop parked messages with
// `relay inbox parked`, and Replay does what they request. ProcessBatch handles many messages in one transaction.
// ClaimPartition keeps a partition's offset in the consumer's database.
//
// Acknowledge the message (commit the Kafka offset) only after Process has returned without an error, or after the
// commit of the transaction in which Accept was called.
//
// Besides the standard library, inbox imports only package outbox and internal packages. Package inboxkafka is a Kafka
// consumer, and packages inboxwatermill and inboxgorm are adapters for Watermill's Router and for gorm.
//
// # For those who change this package
//
// There are two state machines: message_states.go for one message, and batch_states.go for a batch. Each begins with a
// picture of its states, and shows its steps in order. Process (process.go) and ProcessBatch (process_batch.go) start
// them. They use:
//
//   - unit_of_work.go: the steps of one transaction, which are begin, accept (accept.go), run the handler, and commit.
//   - attempts.go: counts attempts across processes. If the last attempt at a message did not return, the message runs
//     alone.
//   - failure.go: classifies an error by its cause. retry.go: how long to pause, and when to blame the handler after
//     all.
//   - park.go: parks a message, as a row that parked_row.go makes. publish.go also writes it to a dead-letter topic.
//   - offsets.go: a partition's offset in the database, who may move it, and what is known of the Kafka group.
//   - lock_wait.go: the warning about a session that makes others wait.
//   - internal/pacing: how many handlers run at the same time, and how many messages share a transaction.
//
// Parked messages run again in replay.go, with replay_claim.go (take the next rows of a key) and replay_run.go (run
// them). prune.go and daily_partitions.go keep the tables small.
package inbox
