package relay

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
)

// Fleet has the relay processes that serve a source. One of them owns it, and the others wait for it.
type Fleet struct{ *conn }

// Member is one of these processes.
type Member struct {
	ID    uuid.UUID
	Host  string
	Owned int // sources that it owned at its last heartbeat, this one or others
	// Age is how long ago the last heartbeat was, by the database's clock.
	Age time.Duration
}

// AliveFor is how long a relay counts as alive after its last heartbeat. It is the length of the lease,
// because another relay takes over within that time. If the length is not known, it is twice the longest
// interval between heartbeats.
func AliveFor(ttl time.Duration) time.Duration {
	if ttl > 0 {
		return ttl
	}
	return 10 * time.Second
}

// LeaseState is what a look at the lease showed. It is a hint: only Claim decides.
type LeaseState struct {
	// Free is true if the lease could have been claimed.
	Free bool
	// Heir is the process for which the last owner released the lease. It is uuid.Nil if the owner named
	// none, or did not release the lease.
	Heir uuid.UUID
	// SinkUnreachable is true if the owner has written that it cannot reach its sink.
	SinkUnreachable bool
	// Mode is the mode in which the source was relayed last. It is empty if the source was never relayed.
	Mode string
}

// LeaseState looks at the lease, without a lock and without writing.
func (s Fleet) LeaseState(ctx context.Context, ttl time.Duration) (LeaseState, error) {
	var state LeaseState
	var heir sql.NullString
	err := s.leasePool.QueryRowContext(ctx, db.Fill(s.sql.LeaseState, ttlValues(ttl))).
		Scan(&state.Free, &heir, &state.SinkUnreachable, &state.Mode)
	if err != nil {
		return LeaseState{}, err
	}
	state.Heir, _ = uuid.Parse(heir.String) // a value that is not an id names nobody
	return state, nil
}

// forgetAfter is how long the row of a relay process that is gone stays in the table. An operator who looks
// for the process can still see it in that time.
const forgetAfter = time.Hour

// Heartbeat writes that m is alive, unless it is hidden, and returns the other processes that were seen
// within window. The clocks of the relays' hosts do not matter. A row from the future, which was written
// before the database's clock was set back, counts as long gone.
func (s Fleet) Heartbeat(ctx context.Context, m Member, window time.Duration, hidden bool) ([]Member, error) {
	all, err := s.heartbeat(ctx, m, hidden)
	if err != nil {
		return nil, err
	}
	var live []Member
	forget := false
	for _, other := range all {
		age := max(other.Age, -other.Age)
		if forget = forget || age > forgetAfter; age <= window && other.ID != m.ID {
			live = append(live, other)
		}
	}
	if forget && !hidden {
		err = s.forget(ctx)
	}
	return live, err
}

// heartbeat writes m's row and reads the rows of the others. If m is hidden, it only reads, and reads all
// rows.
func (s Fleet) heartbeat(ctx context.Context, m Member, hidden bool) ([]Member, error) {
	if hidden {
		return s.members(ctx, s.sql.Members)
	}
	if s.names.Dialect == db.PostgreSQL {
		return s.members(ctx, s.sql.Heartbeat, m.ID.String(), m.Host, m.Owned)
	}
	if _, err := s.leasePool.ExecContext(ctx, s.sql.Heartbeat, m.ID.String(), m.Host, m.Owned); err != nil {
		return nil, err
	}
	return s.members(ctx, s.sql.twoStep.OtherMembers, m.ID.String())
}

func (s Fleet) members(ctx context.Context, query string, args ...any) (all []Member, err error) {
	err = db.Each(ctx, s.leasePool, func(rows *sql.Rows) error {
		var m Member
		var age int64
		err := rows.Scan(&m.ID, &m.Host, &m.Owned, &age)
		m.Age = time.Duration(age) * time.Microsecond
		all = append(all, m)
		return err
	}, query, args...)
	return all, err
}

// forget removes processes that were not seen for a long time.
func (s Fleet) forget(ctx context.Context) error {
	statement := db.Fill(s.sql.ForgetMembers, ageValues(forgetAfter))
	if _, err := s.leasePool.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("forget relays that are gone: %w", err)
	}
	return nil
}

// Leave removes the row of a process that no longer serves this source.
func (s Fleet) Leave(ctx context.Context, id uuid.UUID) error {
	_, err := s.leasePool.ExecContext(ctx, s.sql.Leave, id.String())
	return err
}

// ageValues are the values that the statements need for an age.
func ageValues(age time.Duration) db.Values {
	return db.Values{"us": age.Microseconds(), "ms": age.Milliseconds()}
}
