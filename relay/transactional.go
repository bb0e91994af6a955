package relay

import (
	"context"
	"errors"

	"github.com/google/uuid"
)

// Transactional is a Sink that can publish records and the note that they were
// published in one transaction: what exactly-once mode needs.
//
// The note is a manifest: it names the rows, by id and event id, whose records a
// transaction holds. A new owner first shuts out its predecessor, then reads the
// manifests, deletes the rows that they name, and only then reads the table. So a row
// is sent again only if no transaction with it was committed.
type Transactional interface {
	Sink

	// OpenTransactional begins a session that owns src at the broker: when it has
	// returned, no transaction of an earlier session of src can be committed any more,
	// and Sent tells what was. position is what Confirm last returned and the relay
	// kept, nil if nothing is known; the implementation judges whether it still applies.
	//
	// An error that wraps ErrUnusable stops the source, any other is an outage.
	OpenTransactional(ctx context.Context, src Identity, position []byte, ack Ack) (TransactionalSession, error)
}

// Identity says whose transactions they are. Names repeat between services, so the
// ID is what counts; the name is for messages.
type Identity struct {
	Source string
	ID     uuid.UUID
	Owner  uuid.UUID // of the lease, a fresh one for each claim
	Epoch  int64     // of the lease
}

// Sent names a row and the event that it held when a transaction published it.
type Sent struct {
	ID      int64
	EventID uuid.UUID
}

// TransactionalSession is a Session whose records become visible together.
//
// Each Deliver takes part in one transaction at least; the session commits by itself,
// soon. Records are acknowledged with nil once their transaction is committed, and the
// session has numbered it with Record.SetTransaction before that. If anything fails, or
// its outcome is not known, the session is over: every record that was not
// acknowledged gets an error, the refused one a rejection, and the relay opens another.
// An error that wraps ErrFenced says that somebody else opened a session of the source.
type TransactionalSession interface {
	Session

	// Sent calls visit, in the order of their transactions, for all rows that committed
	// transactions have named since position, until visit returns an error, which it
	// returns. The relay calls it once, before the first Deliver.
	Sent(ctx context.Context, visit func([]Sent) error) error

	// Confirm tells that the rows of all transactions up to number n are deleted, and
	// that deletion is committed; 0 stands for the rows of Sent. It returns the position
	// to keep for the next OpenTransactional, nil if it is as before. It does not block.
	Confirm(n int64) []byte

	// Forget tells that position is kept, durably: the broker may drop what is before
	// it. It is housekeeping; an error is worth a log line and no more.
	Forget(ctx context.Context, position []byte) error
}

// ErrFenced ends a transactional session whose source somebody else has opened since.
var ErrFenced = errors.New("another producer has taken over this source's transactions")
