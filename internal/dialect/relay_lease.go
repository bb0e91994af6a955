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

// The lease is one row. All times in it are the database's, so the clocks of the
// relays' hosts do not matter.
//
// It can be claimed when nobody owns it, when it has expired, and when it expires
// later than twice its own length from now: the database's clock was set back then,
// and a dead owner would keep it until the old time came round again (hazard clock-steps-back).
// Its length is the longer of the claimer's and the holder's, which the hints keep,
// or a claimer with a short one would rob a holder with a long one.

// claimable is the condition of a claim, by this database's clock.
func claimable(n Names, ttl time.Duration) string {
	us, ms := strconv.FormatInt(ttl.Microseconds(), 10), strconv.FormatInt(ttl.Milliseconds(), 10)
	switch n.Dialect {
	case PostgreSQL:
		return `(owner IS NULL OR expires_at IS NULL OR expires_at < clock_timestamp()
  OR expires_at > clock_timestamp() + 2 * greatest(` + us + `::bigint, coalesce((hints->>'ttl_us')::bigint, 0)) * interval '1 microsecond')`
	case MySQL:
		return `(owner IS NULL OR expires_at IS NULL OR expires_at < UTC_TIMESTAMP(6)
  OR expires_at > UTC_TIMESTAMP(6) + INTERVAL 2 * GREATEST(` + us + `, COALESCE(CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), 0)) MICROSECOND)`
	}
	return `(owner IS NULL OR expires_at IS NULL OR expires_at < ` + sqliteNow("0") + `
  OR expires_at > ` + sqliteNow("2 * max("+ms+", coalesce(json_extract(hints, '$.ttl_us'), 0) / 1000)") + `)`
}

// Claim takes the lease if it is free and reports whether it did. Epoch is then one
// higher than any earlier owner's.
func (r *Relay) Claim(ctx context.Context, c Claim) (Lease, bool, error) {
	if err := r.sql.sequence(ctx); err != nil {
		return Lease{}, false, err
	}
	l := Lease{Owner: c.Owner}
	claimed := false
	err := r.inTxOf(ctx, r.leaseDB, func(tx *sql.Tx) error {
		var err error
		if claimed, err = r.leaseSQL.claim(ctx, tx, c); err != nil || !claimed {
			return err
		}
		q := r.names.Expand("SELECT epoch, source_id, mode, " + serverOf(r.names) + ", " + hint(r.names, "position") + ", " +
			hint(r.names, "proved") + " FROM {outbox_leases} WHERE id = 1")
		var position, proved sql.NullString
		err = tx.QueryRowContext(ctx, q).Scan(&l.Epoch, &l.SourceID, &l.Mode, &l.Server, &position, &proved)
		l.Position, l.Proved = keptHint(position), keptHint(proved)
		return err
	})
	if err != nil || !claimed {
		return Lease{}, false, err
	}
	return l, true, nil
}

// Renew moves the lease's end to ttl from now. ErrLeaseLost: another owner has it.
// ErrServerChanged: this server did not grant it.
func (r *Relay) Renew(ctx context.Context, l Lease, ttl time.Duration) error {
	n, err := r.leaseSQL.renew(ctx, l, ttl)
	if err == nil && n == 0 {
		return r.holds(ctx, r.leaseDB, l, "")
	}
	return err
}

// holds returns nil if l is the lease in the table of the server that granted it, and else
// ErrLeaseLost or ErrServerChanged. lock is what follows the SELECT.
func (r *Relay) holds(ctx context.Context, db rowQueryer, l Lease, lock string) error {
	var owner sql.NullString
	var epoch int64
	var server string
	q := r.names.Expand("SELECT owner, epoch, " + serverOf(r.names) + " FROM {outbox_leases} WHERE id = 1" + lock)
	err := db.QueryRowContext(ctx, q).Scan(&owner, &epoch, &server)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return ErrLeaseLost
	case err != nil:
		return err
	case owner.String != l.Owner.String() || epoch != l.Epoch:
		return ErrLeaseLost
	case server != l.Server:
		return ErrServerChanged
	}
	return nil
}

// serverOf is the expression that names the server, as in ReadInfo.
func serverOf(n Names) string {
	switch n.Dialect {
	case PostgreSQL:
		return postgresServer
	case MySQL:
		return mysqlServer
	}
	return sqliteServer
}

// Release gives the lease up, so that the next owner need not wait for its end. It
// does nothing to a lease that another owner holds.
func (r *Relay) Release(ctx context.Context, l Lease) error { return r.HandOver(ctx, l, uuid.Nil) }

// HandOver gives the lease up and says which relay process should claim it next; the
// others are asked to let it (see LeaseState), and nothing keeps them from claiming.
// uuid.Nil: nobody in particular.
func (r *Relay) HandOver(ctx context.Context, l Lease, heir uuid.UUID) error {
	hints := map[Dialect]string{
		PostgreSQL: "hints - 'heir'", MySQL: "JSON_REMOVE(hints, '$.heir')", SQLite: "json_remove(hints, '$.heir')",
	}
	if heir != uuid.Nil { // its text has nothing to quote
		hints = map[Dialect]string{
			PostgreSQL: "hints || '{\"heir\": \"" + heir.String() + "\"}'::jsonb",
			MySQL:      "JSON_SET(hints, '$.heir', '" + heir.String() + "')",
			SQLite:     "json_set(hints, '$.heir', '" + heir.String() + "')",
		}
	}
	q := r.names.Expand("UPDATE {outbox_leases} SET owner = NULL, expires_at = NULL, hints = " + hints[r.names.Dialect] +
		" WHERE id = 1 AND owner = " + r.names.Param(1) + " AND epoch = " + r.names.Param(2))
	_, err := r.leaseDB.ExecContext(ctx, q, l.Owner.String(), l.Epoch)
	return err
}

// Held reports whether l is still the lease in the table. ErrServerChanged: another server
// was asked.
func (r *Relay) Held(ctx context.Context, l Lease) (bool, error) {
	err := r.holds(ctx, r.leaseDB, l, "")
	if errors.Is(err, ErrLeaseLost) {
		return false, nil
	}
	return err == nil, err
}

// Fenced runs change in a transaction that holds the lease row locked, or returns
// ErrLeaseLost or ErrServerChanged. Whatever moves rows or writes hints goes through it: a condition
// EXISTS (lease) in the statement itself is judged by the statement's snapshot, and
// a zombie that waited for a row's lock passes it after its successor has claimed
// (hazard stale-fence). A claim, on the other hand, waits for this lock.
func (r *Relay) Fenced(ctx context.Context, l Lease, change func(*sql.Tx) error) error {
	return r.inTx(ctx, func(tx *sql.Tx) error {
		if err := r.lockLease(ctx, tx, l); err != nil {
			return err
		}
		return change(tx)
	})
}

// Settle returns when no transaction that moves rows is open any more: an earlier
// owner's, or one of ours whose answer was lost and that is still committing. Each such
// transaction holds the lease row locked. (One that moves scheduled events takes that lock
// last; it adds rows, as any writer does whose transaction is open.)
func (r *Relay) Settle(ctx context.Context, l Lease) error {
	return r.Fenced(ctx, l, func(*sql.Tx) error { return nil })
}

// lockLease locks the lease row until tx ends, or returns ErrLeaseLost or ErrServerChanged.
func (r *Relay) lockLease(ctx context.Context, tx *sql.Tx, l Lease) error {
	return r.holds(ctx, tx, l, r.forUpdate())
}

// Halt records in the hints why the source stopped. The next claim clears it.
func (r *Relay) Halt(ctx context.Context, l Lease, reason string) error {
	return r.setLease(ctx, l, map[Dialect]string{
		PostgreSQL: "hints = jsonb_set(hints, ARRAY['halted'], to_jsonb($1::text))",
		MySQL:      "hints = JSON_SET(hints, '$.halted', ?)",
		SQLite:     "hints = json_set(hints, '$.halted', ?)",
	}, reason)
}

// NoteBlind says in the hints that the owner cannot reach its sink, and since when, or that
// it can. A claim clears it.
func (r *Relay) NoteBlind(ctx context.Context, l Lease, blind bool) error {
	since := ""
	if blind {
		since = time.Now().UTC().Format(time.RFC3339)
	}
	return r.setLease(ctx, l, map[Dialect]string{
		PostgreSQL: "hints = jsonb_set(hints, ARRAY['blind'], to_jsonb($1::text))",
		MySQL:      "hints = JSON_SET(hints, '$.blind', ?)",
		SQLite:     "hints = json_set(hints, '$.blind', ?)",
	}, since)
}

// blindSince is what NoteBlind wrote: empty or NULL if the owner reaches its sink.
func blindSince(n Names) string {
	return map[Dialect]string{
		PostgreSQL: "hints->>'blind'", MySQL: "JSON_VALUE(hints, '$.blind')", SQLite: "json_extract(hints, '$.blind')",
	}[n.Dialect]
}

// NoteOutage says in the hints since when the owner's sink has failed, and why it does now,
// or that it works. A claim clears it.
func (r *Relay) NoteOutage(ctx context.Context, l Lease, since time.Time, reason string) error {
	return r.setLease(ctx, l, map[Dialect]string{
		PostgreSQL: "hints = jsonb_set(hints, ARRAY['outage'], $1::text::jsonb)",
		MySQL:      "hints = JSON_SET(hints, '$.outage', JSON_EXTRACT(?, '$'))",
		SQLite:     "hints = json_set(hints, '$.outage', json(?))",
	}, encodeOutage(since, reason))
}

// SetPosition keeps in the hints where the next owner finds what transactions have
// sent: a JSON object whose meaning is the sink's.
func (r *Relay) SetPosition(ctx context.Context, l Lease, position []byte) error {
	return r.setLease(ctx, l, map[Dialect]string{
		PostgreSQL: "hints = jsonb_set(hints, ARRAY['position'], $1::text::jsonb)",
		MySQL:      "hints = JSON_SET(hints, '$.position', JSON_EXTRACT(?, '$'))",
		SQLite:     "hints = json_set(hints, '$.position', json(?))",
	}, string(position))
}

// SetMode keeps the mode that the source is relayed in. It comes after whatever a
// change of mode asks for is done: a claim that wrote it would make a successor
// believe so after a crash in between (hazard mode-switch).
func (r *Relay) SetMode(ctx context.Context, l Lease, mode string) error {
	set := "mode = " + r.names.Param(1)
	return r.setLease(ctx, l, map[Dialect]string{PostgreSQL: set, MySQL: set, SQLite: set}, mode)
}

func (r *Relay) setLease(ctx context.Context, l Lease, set map[Dialect]string, value string) error {
	return r.Fenced(ctx, l, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, r.names.Expand("UPDATE {outbox_leases} SET "+set[r.names.Dialect]+" WHERE id = 1"), value)
		return err
	})
}

// forUpdate locks the rows of a SELECT. SQLite needs none: the relay's connections
// begin with BEGIN IMMEDIATE, which shuts out every other writer.
func (r *Relay) forUpdate() string { return forUpdate(r.names) }

func forUpdate(n Names) string {
	if n.Dialect == SQLite {
		return ""
	}
	return " FOR UPDATE"
}

func (r *Relay) inTx(ctx context.Context, f func(*sql.Tx) error) error { return r.inTxOf(ctx, r.db, f) }

func (r *Relay) inTxOf(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	if r.names.Dialect == SQLite {
		// A library user's connection may begin deferred: a first write takes the
		// lock before anything is read, or the later upgrade fails with SQLITE_BUSY.
		if _, err := tx.ExecContext(ctx, r.names.Expand("UPDATE {outbox_leases} SET epoch = epoch WHERE id = 1")); err != nil {
			return err
		}
	}
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
