package source

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

	"github.com/postroom/postroom/internal/db"
)

// These are the changes to a source that are possible while no relay owns it. Each change
// locks the lease row, so that no relay claims the lease meanwhile.

// MaxName is the length of a source's name, in characters.
const MaxName = 249

// LeasedError rejects a change because a relay holds the lease.
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
	return fmt.Sprintf("%s: a relay owns this source, as owner %s, for another %v%s: "+
		"stop all its relays first, as with SIGTERM", e.Table, e.Owner, e.Left.Round(time.Millisecond), where)
}

// Errors of a change of name.
var (
	// ErrName: the name given is not the source's.
	ErrName = errors.New("this is not the source's name")
	// ErrNoName: no relay has named the source yet.
	ErrNoName = errors.New("the source has no name yet")
)

// CheckName returns why a source cannot have this name.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case utf8.RuneCountInString(name) > MaxName:
		return fmt.Errorf("the name has %d characters: at most %d", utf8.RuneCountInString(name), MaxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) || strings.TrimSpace(name) != name:
		return fmt.Errorf("the name %q has control characters, or spaces at its ends", name)
	}
	return nil
}

// Description is a source's identity, and the relays that serve it.
type Description struct {
	Name     string // "" until the first relay set it
	SourceID string
	Mode     string // "" before the first claim

	Owner     string        // of the lease, which may have expired
	LeaseLeft time.Duration // negative: expired since
	LeaseTTL  time.Duration // of the last claim; 0: never claimed

	Relays []RelayProcess // that serve it, or did until lately; nil with tables of version 2
}

// RelayProcess is a relay process that serves the source, as its owner or waiting for it.
type RelayProcess struct {
	ID    uuid.UUID
	Host  string
	Owned int           // sources that it owned when it was last seen, this one or others
	Age   time.Duration // since it was seen, by the database's clock
}

// Describe reads a source's description, without locks.
func (s *Store) Describe(ctx context.Context) (Description, error) {
	state, err := s.lease(ctx, s.pool)
	if err != nil {
		return Description{}, err
	}
	d := Description{
		Name: state.Source, SourceID: state.SourceID, Mode: state.Mode,
		Owner: state.Owner, LeaseLeft: state.LeaseLeft, LeaseTTL: state.LeaseTTL,
	}
	if d.Relays, err = s.relays(ctx); err != nil && !db.IsMissingTable(err) && !db.IsDenied(err) {
		return d, fmt.Errorf("read %s: %w", s.names.Plain(db.Relays), err)
	}
	return d, nil
}

func (s *Store) relays(ctx context.Context) (all []RelayProcess, err error) {
	err = db.Each(ctx, s.pool, func(rows *sql.Rows) error {
		var p RelayProcess
		var age sql.NullInt64
		err := rows.Scan(&p.ID, &p.Host, &p.Owned, &age)
		p.Age = db.Micros(age)
		all = append(all, p)
		return err
	}, s.sql.Relays)
	return all, err
}

// CheckIs fails with ErrName if the table belongs to a source of another name. It returns nil for a source without a
// name, and if the name cannot be read: the next statement then has the error.
func (s *Store) CheckIs(ctx context.Context, name string) error {
	var present sql.NullString
	err := s.pool.QueryRowContext(ctx, s.sql.Name).Scan(&present)
	if err != nil || !present.Valid || present.String == name {
		return nil
	}
	return s.otherName(present.String, name)
}

func (s *Store) otherName(present, name string) error {
	return fmt.Errorf("%w: %s belongs to source %q, not %q", ErrName, s.names.Plain(db.Events), present, name)
}

// Rename gives a source another name. from must be its present name (ErrName). It fails with a *LeasedError while a
// relay owns the source.
func (s *Store) Rename(ctx context.Context, from, to string) error {
	if err := CheckName(to); err != nil {
		return err
	}
	return s.change(ctx, from, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, s.sql.Rename, to)
		return err
	})
}

// NewIdentity gives a source another source_id, as a copied database needs it, and forgets the sink's position,
// which belongs to the old one. name must be the source's (ErrName). It fails with a *LeasedError while a relay
// owns the source.
func (s *Store) NewIdentity(ctx context.Context, name string) (before, after uuid.UUID, err error) {
	after = uuid.New()
	err = s.change(ctx, name, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, s.sql.Identity).Scan(&before); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, s.sql.SetIdentity, after.String())
		return err
	})
	return before, after, err
}

// change runs a change in a transaction that holds the lease row locked, if the source has that name and nobody
// owns it.
func (s *Store) change(ctx context.Context, name string, change func(*sql.Tx) error) error {
	tx, err := s.pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if s.sqlite.BeginWriting != "" {
		if _, err := tx.ExecContext(ctx, s.sqlite.BeginWriting); err != nil {
			return err
		}
	}
	var present, owner sql.NullString
	var free bool
	if err := tx.QueryRowContext(ctx, s.sql.Lock).Scan(&present, &owner, &free); err != nil {
		return err
	}
	switch {
	case !present.Valid:
		return ErrNoName
	case present.String != name:
		return s.otherName(present.String, name)
	case !free:
		_ = tx.Rollback() // it only read, and a pool may have one connection
		return s.leased(ctx, owner.String)
	}
	if err := change(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// leased returns who owns the source. Details that help to find the owner are optional, so it ignores their errors.
func (s *Store) leased(ctx context.Context, owner string) error {
	e := &LeasedError{Table: s.names.Plain(db.Leases), Owner: owner}
	if state, err := s.lease(ctx, s.pool); err == nil {
		e.Left = max(state.LeaseLeft, 0)
	}
	seen, _ := s.relays(ctx)
	for _, p := range seen {
		if max(p.Age, -p.Age) <= time.Minute {
			e.Hosts = append(e.Hosts, p.Host)
		}
	}
	return e
}
