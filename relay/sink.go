package relay

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// Sink is where records go. One Sink serves one source at a time.
//
// An implementation must keep these promises, which relaytest.Sink checks:
//
//   - Each record given to Deliver is acknowledged exactly once, from any
//     goroutine, in any order.
//   - Records of one topic and key are published in the order given.
//   - Once a record was acknowledged with an error, the session publishes no
//     later record of the same topic and key that it has not published yet, and
//     no record of any key that Deliver is given from then on: it acknowledges
//     them with an error too. The relay then closes the session and opens another.
//   - After Close returned, the session publishes nothing, and every record was
//     acknowledged.
type Sink interface {
	// Check reports whether the sink can be reached and used. The relay calls it once at start, so that a
	// wrong address is an error at once. An error names the address and what to try. The relay waits for the
	// end of later outages.
	Check(ctx context.Context) error

	// Open begins a session in a term. A term is the time for which the relay holds its lease. The relay
	// opens a session after it has claimed the lease and before it reads a row. So if Open fences a
	// predecessor, that happens before the first read.
	Open(ctx context.Context, ack Ack) (Session, error)
}

// Session publishes the records of one term. The relay calls Deliver from one
// goroutine and Close once, possibly while Deliver runs.
type Session interface {
	// Deliver accepts records in order and returns without waiting for the broker. It may block while the
	// session's own buffers are full, but only until ctx ends. Then it acknowledges the records that it did
	// not accept with ctx's error. Records and the slice still belong to the caller, who may use the slice
	// again after Deliver has returned.
	Deliver(ctx context.Context, records []*Record)

	// Close gives up the records that are not delivered yet. It acknowledges them with ErrGivenUp, although
	// the broker may have received them.
	Close()
}

// Ack reports the outcome of a record. With a nil error, the broker has stored the record durably. With an
// error that wraps ErrRejected, the broker rejects this record, or a batch of records of its topic that it
// was in, and would reject it again. Any other error is an outage: the record may or may not have been
// published.
//
// Ack does not block. It is safe to call from any goroutine, and must be called
// exactly once for a record.
type Ack func(r *Record, err error)

var (
	// ErrRejected marks an acknowledgement as a rejection. Make such an error with Rejected.
	ErrRejected = errors.New("rejected")

	// ErrGivenUp acknowledges records that a session had not delivered when it
	// was closed, or after an earlier record had failed.
	ErrGivenUp = errors.New("given up: the session ended before this record was delivered")
)

// Rejected wraps the reason for which a sink rejects a record, so that
// errors.Is(err, ErrRejected) and errors.Is(err, reason) both hold.
func Rejected(reason error) error {
	return fmt.Errorf("%w: %w", ErrRejected, reason)
}

// ErrUnusable marks an error of Open or OpenTransactional that no retry can repair, such as a
// manifest that cannot be read: Run returns it, and does not try again.
var ErrUnusable = errors.New("the sink cannot be used")

// Validator is a Session that knows, without sending a record, that the broker would
// reject it: the record is larger than the topic's limit, or the topic does not exist. The
// relay then parks such a record at once, and sends the others in full batches.
type Validator interface {
	Session

	// Validate returns why the broker would reject r, or nil if the broker may accept it. The
	// reason concerns r alone, and not the batch that r would be part of. The relay calls
	// Validate from the goroutine that calls Deliver, before it delivers r. Validate does not
	// block.
	Validate(r *Record) error
}

// Revalidator is a Validator that can ask the broker again. A plain Validator answers from
// what the broker said before: it rejects a retry right after the topic was created.
type Revalidator interface {
	Validator

	// Revalidate asks the broker again about the topics of records that Validate rejects.
	// When the broker answers, Validate uses the new answer. Revalidate waits for the
	// answer, for a second at most.
	Revalidate(ctx context.Context, rejected []*Record)
}

// OutageReporter is a Session that keeps its records during an outage and retries them itself,
// without an error for them. It reports the outage instead, and the relay logs when the outage
// begins and ends.
type OutageReporter interface {
	Session

	// Outage returns an error while records of the session have waited for long: since when,
	// for what, and what an operator can do. It returns nil otherwise. Outage does not
	// block, and is safe to call from any goroutine until Close is called.
	Outage() error
}

// OutageError is an error of a sink that names the cause of the outage. While an outage lasts,
// the relay writes to the log and to the lease row whenever the cause changes. For other
// errors the relay compares the texts without the numbers in them, because a new count or
// time is not a new cause.
type OutageError interface {
	error

	// OutageCause stays the same for as long as the cause does.
	OutageCause() string
}

// Lanes is a Session that knows which records wait for the same thing: those of one partition,
// for example. A lane that is blocked then delays its own records only. Without Lanes the relay
// takes each topic for one lane.
type Lanes interface {
	Session

	// Learn finds out what Lane and Ready need to know about the records' topics. It waits
	// for the broker's answer, for a second at most.
	Learn(ctx context.Context, records []*Record)

	// Lane returns the number of r's lane within its topic: Kafka's partition. A key stays in
	// its lane as long as the session lives. Lane does not block.
	Lane(r *Record) int32

	// Ready returns false if records of the lane would only wait in the session, because the
	// topic does not exist or the partition has no leader. The relay leaves such records in
	// the table and asks again later. A lane is ready if Validate rejects its records. Ready
	// does not block.
	Ready(topic string, lane int32) bool
}

// Transactional is a Sink that can publish records in one transaction, together with the note that they were
// published. Exactly-once mode needs it.
//
// The note is a manifest. It names the rows, by id and event id, whose records a transaction has. A new owner
// first fences its predecessor. Then it reads the manifests and deletes the rows that they name. Only then
// does it read the table. So a row is sent again only if no transaction with it was committed.
type Transactional interface {
	Sink

	// OpenTransactional begins a session that owns src at the broker. When it has returned, no transaction of
	// an earlier session of src can be committed any more, and Sent lists what was committed. position is
	// what Confirm returned last and the relay kept, or nil if nothing is known. The implementation decides
	// whether the position still applies.
	//
	// An error that wraps ErrUnusable stops the source. Any other error is an outage.
	OpenTransactional(ctx context.Context, src Identity, position []byte, ack Ack) (TransactionalSession, error)
}

// Identity says whose transactions they are. Different services may use the same name, so only ID identifies
// a source. The name is for messages.
type Identity struct {
	Source string
	ID     uuid.UUID
	Owner  uuid.UUID // of the lease; each claim has a new one
	Epoch  int64     // of the lease
}

// Sent names a row and the event that it held when a transaction published it.
type Sent struct {
	ID      int64
	EventID uuid.UUID
}

// TransactionalSession is a Session whose records become visible together.
//
// The records of each Deliver are part of one or more transactions. The session commits by itself, soon. It
// acknowledges records with nil after their transaction is committed. Before that it sets the number of the
// transaction with Record.SetTransaction. If anything fails, or its outcome is not known, the session is
// over: every record that was not acknowledged gets an error, a rejected record gets a rejection, and the
// relay opens another session. An error that wraps ErrFenced means that another process has opened a session
// of the source.
type TransactionalSession interface {
	Session

	// Sent calls visit for all rows that committed transactions have named since position, in the order of
	// the transactions. It stops when visit returns an error, and returns that error. The relay calls Sent
	// once, before the first Deliver.
	Sent(ctx context.Context, visit func([]Sent) error) error

	// Confirm tells the session that the rows of all transactions up to number n are deleted, and that the
	// deletion is committed. 0 stands for the rows of Sent. It returns the position to keep for the next
	// OpenTransactional, or nil if the position has not changed. It does not block.
	Confirm(n int64) []byte

	// Forget tells the session that position is kept durably, so the broker may drop everything before it.
	// The relay only logs an error, because delivery does not depend on this.
	Forget(ctx context.Context, position []byte) error
}

// ErrFenced ends a transactional session after another process has opened the same source.
var ErrFenced = errors.New("another producer has taken over this source's transactions")
