package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// What people change about a source while no relay owns it. Each change locks the lease
// row, so that no claim comes in between.

// MaxSourceName is the length of a source's name, in characters.
const MaxSourceName = 249

// LeasedError refuses a change because a relay holds the lease.
type LeasedError struct {
	Table string // outbox_leases, as an operator would say it
	Owner string
	Left  time.Duration
	Hosts []string // of relay processes that were seen lately
}

func (e *LeasedError) Error() string {
	where := ""
	if len(e.Hosts) > 0 {
		where = " (relays were seen on " + strings.Join(e.Hosts, ", ") + ")"
	}
	return fmt.Sprintf("%s: a relay owns this source, as owner %s, for another %v%s: stop all its relays first, as with SIGTERM",
		e.Table, e.Owner, e.Left.Round(time.Millisecond), where)
}

// Errors of a change of name.
var (
	// ErrSourceName: the name given is not the source's.
	ErrSourceName = errors.New("this is not the source's name")
	// ErrNoSourceName: no relay has named the source yet.
	ErrNoSourceName = errors.New("the source has no name yet")
)

// CheckSourceName says why a source cannot be called so.
func CheckSourceName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case utf8.RuneCountInString(name) > MaxSourceName:
		return fmt.Errorf("the name has %d characters: at most %d", utf8.RuneCountInString(name), MaxSourceName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) || strings.TrimSpace(name) != name:
		return fmt.Errorf("the name %q has control characters, or spaces at its ends", name)
	}
	return nil
}

// SourceDescription is who a source is, and who serves it.
type SourceDescription struct {
	Name     string // "" until the first relay set it
	SourceID string
	Mode     string // "" before the first claim

	Owner     string        // of the lease, which may have expired
	LeaseLeft time.Duration // negative: expired since
	LeaseTTL  time.Duration // of the last claim; 0: never claimed

	Relays []Member // processes that serve it, or did until lately; nil with tables of version 2
}

// DescribeSource reads it, without locks.
func DescribeSource(ctx context.Context, db *sql.DB, n Names) (SourceDescription, error) {
	r, err := NewRelay(db, n)
	if err != nil {
		return SourceDescription{}, err
	}
	var s SourceStatus
	if err := s.readLease(ctx, db, n.Expand(statusQueries(n).lease)); err != nil {
		return SourceDescription{}, fmt.Errorf("read %s: %w", n.Plain(Leases), err)
	}
	d := SourceDescription{Name: s.Source, SourceID: s.SourceID, Mode: s.Mode, Owner: s.Owner, LeaseLeft: s.LeaseLeft, LeaseTTL: s.LeaseTTL}
	if d.Relays, err = r.Members(ctx); err != nil && !IsMissingTable(err) && !IsDenied(err) {
		return d, fmt.Errorf("read %s: %w", n.Plain("outbox_relays"), err)
	}
	return d, nil
}

// CheckSource fails with ErrSourceName if the table belongs to a source of another name.
// One without a name yet, or that cannot be read, passes: what follows will say so.
func CheckSource(ctx context.Context, db *sql.DB, n Names, name string) error {
	var present sql.NullString
	err := db.QueryRowContext(ctx, n.Expand("SELECT source FROM {outbox_leases} WHERE id = 1")).Scan(&present)
	if err != nil || !present.Valid || present.String == name {
		return nil
	}
	return fmt.Errorf("%w: %s belongs to source %q, not %q", ErrSourceName, n.Plain(Events), present.String, name)
}

// RenameSource calls a source otherwise. from must be its present name (ErrSourceName).
// It fails with a *LeasedError while a relay owns the source.
func RenameSource(ctx context.Context, db *sql.DB, n Names, from, to string) error {
	if err := CheckSourceName(to); err != nil {
		return err
	}
	return changeSource(ctx, db, n, from, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, n.Expand("UPDATE {outbox_leases} SET source = "+n.Param(1)+" WHERE id = 1"), to)
		return err
	})
}

// NewIdentity gives a source another source_id, as a copied database needs it, and
// forgets the sink's position, which belongs to the old one. name must be the source's
// (ErrSourceName). It fails with a *LeasedError while a relay owns the source.
func NewIdentity(ctx context.Context, db *sql.DB, n Names, name string) (before, after uuid.UUID, err error) {
	after = uuid.New()
	forget := map[Dialect]string{
		PostgreSQL: "hints - 'position' - 'halted'", MySQL: "JSON_REMOVE(hints, '$.position', '$.halted')",
		SQLite: "json_remove(hints, '$.position', '$.halted')",
	}[n.Dialect]
	err = changeSource(ctx, db, n, name, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, n.Expand("SELECT source_id FROM {outbox_leases} WHERE id = 1")).Scan(&before); err != nil {
			return err
		}
		set := n.Expand("UPDATE {outbox_leases} SET source_id = " + n.Param(1) + ", hints = " + forget + " WHERE id = 1")
		_, err := tx.ExecContext(ctx, set, after.String())
		return err
	})
	return before, after, err
}

// changeSource runs change in a transaction that holds the lease row locked, if the
// source has that name and nobody owns it.
func changeSource(ctx context.Context, db *sql.DB, n Names, name string, change func(*sql.Tx) error) error {
	r, err := NewRelay(db, n)
	if err != nil {
		return err
	}
	leased := &LeasedError{Table: n.Plain(Leases)}
	err = r.inTx(ctx, func(tx *sql.Tx) error {
		var present, owner sql.NullString
		var free bool
		// By its own length: how long others would hold it does not matter.
		lock := n.Expand("SELECT source, owner, " + claimable(n) + " FROM {outbox_leases} WHERE id = 1" + forUpdate(n))
		if err := tx.QueryRowContext(ctx, lock).Scan(&present, &owner, &free); err != nil {
			return err
		}
		switch {
		case !present.Valid:
			return ErrNoSourceName
		case present.String != name:
			return fmt.Errorf("%w: %s belongs to source %q, not %q", ErrSourceName, n.Plain(Events), present.String, name)
		case !free:
			leased.Owner = owner.String
			return leased
		}
		return change(tx)
	})
	if errors.As(err, &leased) {
		leased.describe(ctx, r)
	}
	return err
}

// describe adds what helps to find the owner. It is a help alone: errors do not matter.
func (e *LeasedError) describe(ctx context.Context, r *Relay) {
	var s SourceStatus
	if s.readLease(ctx, r.db, r.names.Expand(statusQueries(r.names).lease)) == nil {
		e.Left = max(s.LeaseLeft, 0)
	}
	seen, _ := r.Members(ctx)
	for _, m := range seen {
		if max(m.Age, -m.Age) <= time.Minute {
			e.Hosts = append(e.Hosts, m.Host)
		}
	}
}
