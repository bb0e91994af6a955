package relay

import (
	"context"
	"errors"
	"fmt"
)

// Sink is where records go. One Sink serves one source at a time.
//
// An implementation must keep these promises, which relaytest.Sink checks:
//
//   - Each record given to Deliver is acknowledged exactly once, from any
//     goroutine, in any order.
//   - Records of one topic and key are published in the order given.
//   - Once a record was acknowledged with an error, the session publishes no
//     later record of the same topic and key that it has not published yet: it
//     acknowledges it with an error too.
//   - After Close returned, the session publishes nothing, and every record was
//     acknowledged.
type Sink interface {
	// Check asks whether the sink can be reached and used. The relay calls it
	// once at start, so that a wrong address is an error at once; an error
	// names the address and what to try. Later outages are ridden out.
	Check(ctx context.Context) error

	// Open begins a turn: the time for which the relay holds its lease. The
	// relay opens a session after it has claimed and before it reads a row, so
	// whatever Open does to shut out a predecessor comes before the first read.
	Open(ctx context.Context, ack Ack) (Session, error)
}

// Session publishes the records of one turn. The relay calls Deliver from one
// goroutine and Close once, possibly while Deliver runs.
type Session interface {
	// Deliver takes records in order and returns without waiting for the
	// broker; it may block while the session's own buffers are full. It blocks
	// no longer than ctx lives, and then acknowledges what it did not take with
	// ctx's error. Records and the slice stay the caller's: the slice may be
	// used again once Deliver returned.
	Deliver(ctx context.Context, records []*Record)

	// Close gives up what is not delivered yet: such records are acknowledged
	// with ErrGivenUp, though the broker may still have received them.
	Close()
}

// Ack says what became of a record. A nil error: the broker has it, for good.
// An error that wraps ErrRejected: the broker refuses this record, or a batch of
// records of its topic that it was in, and would refuse it again. Any other error: an outage; the record
// may or may not have been published.
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

// Rejected wraps the reason for which a sink refuses a record, so that
// errors.Is(err, ErrRejected) and errors.Is(err, reason) both hold.
func Rejected(reason error) error {
	return fmt.Errorf("%w: %w", ErrRejected, reason)
}

// ErrUnusable marks an error of Open or OpenTransactional that no retry mends, such as a
// manifest that cannot be read: Run returns it instead of riding it out.
var ErrUnusable = errors.New("the sink cannot be used")

// Judge is a Session that knows of some records, without sending them, that the
// broker would refuse them: they are larger than the topic's limit, or the topic does
// not exist. It spares the others a round of single deliveries.
type Judge interface {
	Session

	// Refuses returns why the broker would refuse r, by itself and not for the company
	// it is in, or nil if it may take it. The relay asks from the goroutine that calls
	// Deliver, before it delivers r. Refuses does not block.
	Refuses(r *Record) error
}

// Reviewer is a Judge that can ask the broker anew what it refuses. Without it, a retry right
// after a topic was created is refused for what the broker said before.
type Reviewer interface {
	Judge

	// Review asks anew about the topics of records that Refuses refuses: with an answer that
	// is younger than the call, Refuses says what holds now. It waits for the answer, though
	// not for longer than a second.
	Review(ctx context.Context, refused []*Record)
}
