// Package inbox makes the effect of a message on a consumer's database happen
// exactly once, although the message may be delivered many times.
//
// What it promises: of all deliveries of one message id to one consumer, exactly
// one commits its handler's writes, as long as the id's row is kept (see Prune).
// The row is inserted first, in the transaction of the handler's own writes, so the
// two commit together or not at all; a second delivery that comes at the same time
// waits at that insert until the first has committed or rolled back.
//
// What it does not promise: exactly-once for what a handler does outside the
// database. Calls of other services, and messages published directly, happen again
// when a handler runs again. Write them to an outbox in the same transaction.
//
// What it needs: the inbox tables in the database that the handler writes to
// (package migrations, or `relay migrate up --only inbox`); the rights on them that docs/tables.md
// lists; and message ids that are unique across every service that
// produces the messages. UUIDs are, as Postroom's and Watermill's are; row ids of a
// database are not, for two services both have a message "1", and the inbox would
// take the second for a copy of the first. CloudEvents ids are unique within one
// source only: use source + " " + id.
//
//	ib, err := inbox.New(inbox.PostgreSQL, "billing")
//	…
//	outcome, err := ib.Process(ctx, db, inbox.Message{ID: id}, func(ctx context.Context, tx *sql.Tx) error {
//		_, err := tx.ExecContext(ctx, "UPDATE accounts SET …")
//		return err
//	})
//
// A message that fails for good is parked in inbox_parked, with the later ones of its
// key behind it, if it has a Topic (WithOnFailure chooses); `relay inbox parked` shows, retries and drops, and
// Replay does what they request. ProcessBatch handles many messages in one transaction, and ClaimPartition keeps a
// partition's offset beside the data.
//
// Acknowledge the message (commit the Kafka offset) only after Process has returned
// without an error, or after the commit of the transaction that Accept was called
// in; never before.
//
// Beside the standard library it imports package outbox and internal packages alone. Adapters for
// Watermill's Router and for gorm are the packages inboxwatermill and inboxgorm.
//
// # For those who change this package
//
// One message is the state machine of delivery.go, and a batch is that of batch.go; each begins with a picture of its
// states and shows its steps in order. Process (process.go) and ProcessBatch (process_batch.go) start them. What they
// are made of:
//
//   - unit_of_work.go: the steps of one transaction, which are begin, accept (accept.go), run the handler, and commit.
//   - attempts.go: counting attempts across processes, and running a message alone whose last attempt did not return.
//   - failure.go: whose fault an error is. retry.go: how long to pause, and when to blame the handler after all.
//   - park.go: setting a message aside, in the form of parked_row.go; publish.go writes it to a dead-letter topic as
//     well.
//   - offsets.go: a partition's offset in the database, who may move it, and what is known of the Kafka group.
//   - lock_wait.go: the warning about a session that keeps others waiting. internal/pacing: the gate and the batch
//     size.
//
// Parked messages run again in replay.go, with replay_claim.go (take the next rows of a key) and replay_run.go (run
// them). prune.go and daily_partitions.go keep the tables small.
package inbox
