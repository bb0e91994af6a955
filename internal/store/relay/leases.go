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
// A relay can claim it when nobody owns it, when it has expired, and when it expires
// later than twice its own length from now. In the last case the database's clock was set back,
// and a dead owner would keep the lease until the clock reaches the old time again (hazard clock-steps-back).
// The length that counts is the longer one of the claimer's and the holder's, which the hints keep.
// Otherwise a claimer with a short length would take the lease from a live holder with a long one.

// Leases claims the lease, keeps it, and writes the owner's notes into its row.
type Leases struct{ *conn }

// Lease is what a claim returned.
type Lease struct {
	Owner    uuid.UUID
	Epoch    int64
	SourceID uuid.UUID
	// Server granted the lease; see ReadInfo. The row is copied to standbys: on another server it may be
	// out of date.
	Server string

	// Mode is the one that the source was relayed in last, or the claim's if it never was.
	Mode string
	// Position and Checkpoint are the last notes of these; nil: nothing.
	Position   []byte
	Checkpoint []byte
}

// Claim is a request for the lease.
type Claim struct {
	Owner uuid.UUID // fresh for each claim
	Mode  string    // kept if the row has none yet; see the note Mode
	// Unsure is the owner of an earlier claim by the same relay whose answer was lost. If that claim
	// succeeded, this one may take the lease over.
	Unsure uuid.UUID
	TTL    time.Duration
}

// ttlValues are what the statements name of the lease's length.
func ttlValues(ttl time.Duration) db.Values {
	return db.Values{"ttl_us": ttl.Microseconds(), "ttl_ms": ttl.Milliseconds()}
}

// Claim takes the lease if it is free and reports whether it did. Epoch is then one
// higher than any earlier owner's.
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

// Renew moves the lease's end to ttl from now. ErrLeaseLost: another owner has it.
// ErrServerChanged: this server did not grant it.
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

// Held reports whether l is still the lease in the table. ErrServerChanged: another server
// was asked.
func (s Leases) Held(ctx context.Context, l Lease) (bool, error) {
	err := s.checkLease(ctx, s.leasePool, l, s.sql.LeaseOwner)
	if errors.Is(err, ErrLeaseLost) {
		return false, nil
	}
	return err == nil, err
}

// HandOver releases the lease, so that the next owner need not wait for its end, and names the relay process
// that should claim it next (uuid.Nil: any). The others wait a little for that process (see LeaseState), but they
// may claim the lease. If another owner holds the lease, HandOver does nothing.
func (s Leases) HandOver(ctx context.Context, l Lease, heir uuid.UUID) error {
	statement := s.sql.ReleaseLease
	if heir != uuid.Nil { // its text has nothing to quote
		statement = db.Fill(s.sql.HandOverLease, db.Values{"heir": db.SQL(heir.String())})
	}
	_, err := s.leasePool.ExecContext(ctx, statement, l.Owner.String(), l.Epoch)
	return err
}

// UsedTopicsFor is for how long a topic counts as in use after the last event for it.
const UsedTopicsFor = 7 * 24 * time.Hour
