package relay

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
)

// The lease is one row. All times in it are the database's, so the clocks of the
// relays' hosts do not matter.
//
// A relay can claim it in three cases: nobody owns it, it has expired, or its end is more than twice its
// length from now. In the last case the database's clock was set back, and a dead owner would keep the lease
// until the clock reaches the old time again (hazard clock-steps-back). The length that counts is the longer
// one of the claimer's and the holder's. The row keeps the holder's. Otherwise a claimer with a short length
// would take the lease from a live holder with a long one.

// Leases claims the lease, keeps it, and writes the owner's notes into its row.
type Leases struct{ *conn }

// Lease is what a claim returned.
type Lease struct {
	Owner    uuid.UUID
	Epoch    int64
	SourceID uuid.UUID
	// Server is the server that granted the lease; see ReadInfo. Standbys have a copy of the row, which may
	// be out of date on another server.
	Server string

	// Mode is the mode in which the source was relayed last, or the claim's mode if it never was.
	Mode string
	// Position and Checkpoint are their last notes, nil if there is none.
	Position   []byte
	Checkpoint []byte
}

// Claim is a request for the lease.
type Claim struct {
	Owner uuid.UUID // a new one for each claim
	Mode  string    // stored only if the row has none yet; see the note Mode
	// Unsure is the owner of an earlier claim by the same relay whose answer was lost. If that claim
	// succeeded, this claim may take over its lease.
	Unsure uuid.UUID
	TTL    time.Duration
}

// ttlValues are the values that the statements need for the length of the lease.
func ttlValues(ttl time.Duration) db.Values {
	return db.Values{"ttl_us": ttl.Microseconds(), "ttl_ms": ttl.Milliseconds()}
}

// Claim takes the lease if it is free, and reports whether it did. The new Epoch is one higher than any
// earlier owner's.
func (s Leases) Claim(ctx context.Context, c Claim) (Lease, bool, error) {
	if err := s.dialect.checkSequence(ctx); err != nil {
		return Lease{}, false, err
	}
	l := Lease{Owner: c.Owner}
	claimed := false
	err := s.inTxOf(ctx, s.leasePool, func(tx *sql.Tx) error {
		var err error
		if claimed, err = s.claim(ctx, tx, c); err != nil || !claimed {
			return err
		}
		var position, checkpoint sql.NullString
		err = tx.QueryRowContext(ctx, s.sql.ClaimedLease).
			Scan(&l.Epoch, &l.SourceID, &l.Mode, &l.Server, &position, &checkpoint)
		l.Position, l.Checkpoint = hint(position), hint(checkpoint)
		return err
	})
	if err != nil || !claimed {
		return Lease{}, false, err
	}
	return l, true, nil
}

func (s Leases) claim(ctx context.Context, tx *sql.Tx, c Claim) (bool, error) {
	if lock := s.sql.mysql.LockLeaseRow; lock != "" {
		if _, err := tx.ExecContext(ctx, lock); err != nil {
			return false, err
		}
	}
	owner, unsure := c.Owner.String(), c.Unsure.String()
	args := db.For(s.names.Dialect,
		[]any{owner, c.Mode, c.TTL.Microseconds(), unsure}, []any{owner, c.Mode, unsure}, []any{owner, c.Mode, unsure})
	n, err := db.Affected(tx.ExecContext(ctx, db.Fill(s.sql.ClaimLease, ttlValues(c.TTL)), args...))
	return n == 1, err
}

// Renew moves the end of the lease to ttl from now. It returns ErrLeaseLost if another owner has the lease,
// and ErrServerChanged if this server did not grant it.
func (s Leases) Renew(ctx context.Context, l Lease, ttl time.Duration) error {
	owner := l.Owner.String()
	args := db.For(s.names.Dialect,
		[]any{ttl.Microseconds(), owner, l.Epoch, l.Server}, []any{owner, l.Epoch, l.Server}, []any{owner, l.Epoch})
	n, err := db.Affected(s.leasePool.ExecContext(ctx, db.Fill(s.sql.RenewLease, ttlValues(ttl)), args...))
	if err == nil && n == 0 {
		return s.checkLease(ctx, s.leasePool, l, s.sql.LeaseOwner)
	}
	return err
}

// Held reports whether l is still the lease in the table. It returns ErrServerChanged if another server
// answers.
func (s Leases) Held(ctx context.Context, l Lease) (bool, error) {
	err := s.checkLease(ctx, s.leasePool, l, s.sql.LeaseOwner)
	if errors.Is(err, ErrLeaseLost) {
		return false, nil
	}
	return err == nil, err
}

// HandOver releases the lease, so that the next owner need not wait until it expires. It names the relay
// process that should claim it next (uuid.Nil: any). The other processes wait a little for that process (see
// LeaseState), but they may claim the lease. If another owner holds the lease, HandOver does nothing.
func (s Leases) HandOver(ctx context.Context, l Lease, heir uuid.UUID) error {
	statement := s.sql.ReleaseLease
	if heir != uuid.Nil { // the text of an id needs no quoting
		statement = db.Fill(s.sql.HandOverLease, db.Values{"heir": db.SQL(heir.String())})
	}
	_, err := s.leasePool.ExecContext(ctx, statement, l.Owner.String(), l.Epoch)
	return err
}

// UsedTopicsFor is how long a topic counts as used after the last event for it.
const UsedTopicsFor = 7 * 24 * time.Hour
