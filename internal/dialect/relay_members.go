package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Member is a relay process that serves this source, as its owner or waiting for it.
type Member struct {
	ID    uuid.UUID
	Host  string
	Owned int // sources that it owned when it was last seen, this one or others
	// Age is how long ago that was, by the database's clock.
	Age time.Duration
}

// AliveFor is for how long a relay counts as alive after it was seen: for the lease's
// length, within which another one takes over, or where that is not known for twice the
// slowest heartbeat.
func AliveFor(ttl time.Duration) time.Duration {
	if ttl > 0 {
		return ttl
	}
	return 10 * time.Second
}

// LeaseState is what a look at the lease showed. It is a hint: only Claim decides.
type LeaseState struct {
	// Free: it could have been claimed.
	Free bool
	// Heir is the process for which the last owner released it; uuid.Nil: nobody in
	// particular, or the owner did not release it.
	Heir uuid.UUID
	// OwnerBlind: the owner says that it cannot reach its sink.
	OwnerBlind bool
	// Mode is the one that the source was relayed in last; empty: it never was.
	Mode string
}

// Peek looks at the lease, without a lock and without writing.
func (r *Relay) Peek(ctx context.Context, ttl time.Duration) (LeaseState, error) {
	heir := map[Dialect]string{
		PostgreSQL: "hints->>'heir'", MySQL: "JSON_VALUE(hints, '$.heir')", SQLite: "json_extract(hints, '$.heir')",
	}[r.names.Dialect]
	q := r.names.Expand("SELECT " + claimable(r.names, ttl) + ", CASE WHEN owner IS NULL THEN " + heir + " END, " +
		"owner IS NOT NULL AND coalesce(" + blindSince(r.names) + ", '') <> '', coalesce(mode, '') FROM {outbox_leases} WHERE id = 1")
	var s LeaseState
	var named sql.NullString
	if err := r.leaseDB.QueryRowContext(ctx, q).Scan(&s.Free, &named, &s.OwnerBlind, &s.Mode); err != nil {
		return LeaseState{}, err
	}
	s.Heir, _ = uuid.Parse(named.String) // anything else names nobody
	return s, nil
}

// forgetAfter is for how long a relay process that is gone stays in the table: long
// enough to be noticed by whoever looks for it.
const forgetAfter = time.Hour

// Beat notes that m is alive and returns the other processes that were seen within
// window. Clocks of the relays' hosts do not matter, and rows from the future, written
// before the database's clock was set back, count as long gone.
func (r *Relay) Beat(ctx context.Context, m Member, window time.Duration) ([]Member, error) {
	all, err := r.beat(ctx, m)
	if err != nil {
		return nil, err
	}
	var live []Member
	forget := false
	for _, other := range all {
		age := max(other.Age, -other.Age)
		if forget = forget || age > forgetAfter; age <= window {
			live = append(live, other)
		}
	}
	if forget {
		err = r.forget(ctx)
	}
	return live, err
}

// Members lists the relay processes that serve this source, or did until lately.
func (r *Relay) Members(ctx context.Context) ([]Member, error) {
	return r.members(ctx, r.listMembers()+" ORDER BY host, relay_id")
}

func (r *Relay) listMembers() string {
	switch r.names.Dialect {
	case PostgreSQL:
		return "SELECT relay_id::text, host, owned, (extract(epoch FROM clock_timestamp() - seen_at) * 1000000)::bigint FROM {outbox_relays}"
	case MySQL:
		return "SELECT relay_id, host, owned, TIMESTAMPDIFF(MICROSECOND, seen_at, UTC_TIMESTAMP(6)) FROM {outbox_relays}"
	}
	return "SELECT relay_id, host, owned, CAST((julianday('now') - julianday(seen_at)) * 86400000000 AS INTEGER) FROM {outbox_relays}"
}

// beat writes m's row and reads those of the others.
func (r *Relay) beat(ctx context.Context, m Member) ([]Member, error) {
	others := r.listMembers() + " WHERE relay_id <> "
	switch r.names.Dialect {
	case PostgreSQL:
		// In one statement, which does not wait until it is on disk, nor for a standby:
		// a heartbeat that a crash takes away is missed by nobody.
		return r.members(ctx, `WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
mine AS (
  INSERT INTO {outbox_relays} (relay_id, host, owned, seen_at) SELECT $1::uuid, $2::text, $3::integer, clock_timestamp() FROM lazily
  ON CONFLICT (relay_id) DO UPDATE SET host = excluded.host, owned = excluded.owned, seen_at = excluded.seen_at)
`+others+"$1::uuid",
			m.ID.String(), m.Host, m.Owned)
	case MySQL:
		_, err := r.leaseDB.ExecContext(ctx, r.names.Expand(`INSERT INTO {outbox_relays} (relay_id, host, owned, seen_at)
VALUES (?, ?, ?, UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE host = VALUES(host), owned = VALUES(owned), seen_at = VALUES(seen_at)`),
			m.ID.String(), m.Host, m.Owned)
		if err != nil {
			return nil, err
		}
		return r.members(ctx, others+"?", m.ID.String())
	}
	_, err := r.leaseDB.ExecContext(ctx, r.names.Expand(`INSERT INTO {outbox_relays} (relay_id, host, owned, seen_at)
VALUES (?, ?, ?, `+sqliteNow("0")+`) ON CONFLICT (relay_id) DO UPDATE SET host = excluded.host, owned = excluded.owned, seen_at = excluded.seen_at`),
		m.ID.String(), m.Host, m.Owned)
	if err != nil {
		return nil, err
	}
	return r.members(ctx, others+"?", m.ID.String())
}

func (r *Relay) members(ctx context.Context, query string, args ...any) (all []Member, err error) {
	rows, err := r.leaseDB.QueryContext(ctx, r.names.Expand(query), args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var m Member
		var age int64
		if err := rows.Scan(&m.ID, &m.Host, &m.Owned, &age); err != nil {
			return nil, err
		}
		m.Age = time.Duration(age) * time.Microsecond
		all = append(all, m)
	}
	return all, rows.Err()
}

// forget removes processes that were not seen for long.
func (r *Relay) forget(ctx context.Context) error {
	us, ms := strconv.FormatInt(forgetAfter.Microseconds(), 10), strconv.FormatInt(forgetAfter.Milliseconds(), 10)
	outside := map[Dialect]string{
		PostgreSQL: "clock_timestamp() - " + us + " * interval '1 microsecond' AND clock_timestamp() + " + us + " * interval '1 microsecond'",
		MySQL:      "UTC_TIMESTAMP(6) - INTERVAL " + us + " MICROSECOND AND UTC_TIMESTAMP(6) + INTERVAL " + us + " MICROSECOND",
		SQLite:     sqliteNow("-"+ms) + " AND " + sqliteNow(ms),
	}[r.names.Dialect]
	if _, err := r.leaseDB.ExecContext(ctx, r.names.Expand("DELETE FROM {outbox_relays} WHERE seen_at NOT BETWEEN "+outside)); err != nil {
		return fmt.Errorf("forget relays that are gone: %w", err)
	}
	return nil
}

// Leave removes the row of a process that does not serve this source any more.
func (r *Relay) Leave(ctx context.Context, id uuid.UUID) error {
	q := r.names.Expand("DELETE FROM {outbox_relays} WHERE relay_id = " + r.names.Param(1))
	_, err := r.leaseDB.ExecContext(ctx, q, id.String())
	return err
}
